/** One CommonJS file for the Koii node, which forks it without a package.json or node_modules beside it. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

/**
 * @param {{ koii: 'bundled' | 'external' }} how Koii's packages are on Koii's registry only: a release bundles them,
 *   what is built
 *   without them requires them when it is loaded.
 * @returns {import('webpack').Configuration}
 */
export const config = ({ koii }) => ({
  mode: 'production',
  target: 'node18',
  context: here,
  entry: './src/index.js',
  output: { path: path.join(here, 'dist'), filename: 'main.js', clean: true },
  externalsType: 'commonjs',
  externals: koii === 'external' ? [/^@_koii\//] : [],
  // Operators and auditors read what runs beside the pod, and a stack trace names the function.
  optimization: { minimize: false },
  devtool: false,
  performance: { hints: false },
});
