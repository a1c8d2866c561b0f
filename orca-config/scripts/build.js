/** `npm run build`: dist/main.js, with Koii's packages in it where they are installed. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import webpack from 'webpack';

import { config } from '../webpack.config.js';

/** @returns {'bundled' | 'external'} */
export const koiiPackages = () =>
  existsSync(fileURLToPath(new URL('../node_modules/@_koii/task-manager', import.meta.url))) ? 'bundled' : 'external';

/**
 * @param {{ koii: 'bundled' | 'external', folder?: string }} how `folder` is where main.js goes, dist by default
 * @returns {Promise<string>} the path of main.js
 */
export async function build({ koii, folder }) {
  const settings = config({ koii });
  if (folder !== undefined) settings.output = { ...settings.output, path: folder };
  const stats = await new Promise((resolve, reject) => {
    webpack(settings, (error, result) => (error ? reject(error) : resolve(result)));
  });
  if (stats.hasErrors() || stats.hasWarnings())
    throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
  return `${settings.output?.path}/main.js`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const koii = koiiPackages();
  console.log(
    `${await build({ koii })}, Koii's packages ${koii === 'bundled' ? 'in it' : 'outside: not for deployment'}`,
  );
}
