/** What must be filled in before a task goes to K2: afterwards it cannot be changed. */
import { isRecord } from '../src/shape.js';
import { poolComplaints } from '../src/pool.js';

/** The examples of pool.js and of the configuration files, and the program and mint that nobody has. */
const EXAMPLES = {
  script: 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx',
  systemProgram: '11111111111111111111111111111111',
  digest: '0'.repeat(64),
  host: '.example',
};

/**
 * @param {object} parts
 * @param {unknown} parts.pool
 * @param {Record<string, unknown>} parts.task the config-task.yml that is deployed
 * @param {Record<string, string>} parts.wanted Koii's packages and their versions
 * @param {Record<string, string | undefined>} parts.installed
 * @returns {string[]} what keeps it from being released, each line with what to change
 */
export function releaseComplaints({ pool, task, wanted, installed }) {
  const complaints = poolComplaints(pool).map((complaint) => `pool.js: ${complaint}`);
  const { image, taskType, config } = /** @type {Partial<import('../src/pool.js').Pool>} */ (
    isRecord(pool) ? pool : {}
  );
  if (String(image).includes(EXAMPLES.host) || String(image).endsWith(EXAMPLES.digest)) {
    complaints.push(
      'pool.js: image is the example: push the image, and name it with the digest that the registry shows',
    );
  }
  const { script } = /** @type {{ script?: unknown }} */ (config?.['payout'] ?? {});
  if (typeof script !== 'string' || script === EXAMPLES.script) {
    complaints.push("pool.js: config.payout.script is the example: put in custody's (`orcapool wallet address`)");
  }
  const program = config?.['k2']?.['program'];
  if (typeof program !== 'string' || program === EXAMPLES.systemProgram) {
    complaints.push("pool.js: config.k2.program is the example: put in the program's id, without it nobody is paid");
  }
  if (task['environment'] === 'PRODUCTION' && config?.['bitcoin']?.['network'] !== 'mainnet') {
    complaints.push('environment: PRODUCTION with coins of a test network (pool.js: config.bitcoin.network)');
  }
  if (task['task_type'] !== taskType)
    complaints.push(`task_type ${task['task_type']} is not pool.js's taskType ${taskType}`);
  for (const field of ['repositoryUrl', 'imageUrl', 'infoUrl']) {
    if (String(task[field]).includes(EXAMPLES.host)) complaints.push(`${field} is the example`);
  }
  if (task['task_type'] === 'KPL' && task['token_type'] === EXAMPLES.systemProgram)
    complaints.push("token_type is the example: put in the program's mint");
  if (Boolean(task['task_id']) !== Boolean(task['migrationDescription'])) {
    complaints.push('task_id and migrationDescription: both for an upgrade, neither for a new task');
  }
  for (const [name, version] of Object.entries(wanted)) {
    if (installed[name] !== version)
      complaints.push(`${name} ${installed[name] ?? 'is not installed'}: npm install --no-save ${name}@${version}`);
  }
  return complaints;
}
