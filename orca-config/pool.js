/**
 * What makes this task the pool it is. Fill it in before `npm run release`, which refuses the values that stand here as
 * examples.
 *
 * It is built into dist/main.js, so whoever audits the task reads it there, and a change of it is a new task.
 *
 * @type {import('./src/pool.js').Pool}
 */
export default {
  /** The slim image, public, for amd64 and arm64. By digest: a tag can be moved under the operators' feet. */
  image: 'registry.example/orcapool/orcapool@sha256:0000000000000000000000000000000000000000000000000000000000000000',

  /** 'KOII' or 'KPL', as task_type of the config-task.yml that is deployed: whose staking key signs depends on it. */
  taskType: 'KOII',

  /** The first round of the pool's history. 0 for a new task. Every node of a task must have the same. */
  firstRound: 0,

  /**
   * Ports on the operators' machines; TASK_VARIABLEs can change them there. Not 3003, 3333 or 30017: Koii uses those
   * itself.
   */
  ports: { stratum: 3334, http: 8338 },

  /** Above this the container is killed. */
  memory: '2Gi',

  /** Keys of orcapool's own configuration (`orcapool config show`) that all nodes share. */
  config: {
    /**
     * On mainnet also `checkpoint: 'HEIGHT:HASH'`, of a block before the task's first round: nodes without a Bitcoin
     * node check headers from there on.
     */
    bitcoin: { network: 'signet' },
    /** The pool's custody: where every coinbase pays. */
    payout: { script: 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx', also_accepted: [] },
    /** The program on K2 that pays miners. */
    k2: { program: '11111111111111111111111111111111', rpc: ['https://mainnet.koii.network'] },
    /** Nodes that everybody asks for bundles, besides what an operator names in PEERS. */
    content: { gateways: [] },
  },
};
