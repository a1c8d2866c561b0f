/** Beside a built main.js, the packages that Koii's registry has: doors to the stand-ins of whoever loads it. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** @param {string} folder of main.js */
export async function layDoors(folder) {
  const packages = path.join(folder, 'node_modules', '@_koii');
  for (const [name, files] of Object.entries({
    'namespace-wrapper': ['index'],
    'storage-task-sdk': ['index'],
    'task-manager': ['index', 'extensions'],
  })) {
    await mkdir(path.join(packages, name), { recursive: true });
    for (const file of files) {
      const door = file === 'index' ? name : `${name}/${file}`;
      await writeFile(
        path.join(packages, name, `${file}.js`),
        `module.exports = globalThis.orcapoolStandIns['@_koii/${door}'];\n`,
      );
    }
  }
}
