// What the wrapper uses of Koii's packages, as they behave. They are on Koii's own registry, so their types are not at
// hand here.

declare module '@_koii/namespace-wrapper' {
  export interface Keypair {
    publicKey: { toBase58(): string };
    /** 64 bytes: seed, then public key. */
    secretKey: Uint8Array;
  }
  export interface OnChainSubmission {
    submission_value: string;
    slot: number;
    round?: number;
  }
  export interface AuditTrigger {
    votes: { is_valid: boolean }[];
  }
  /** Rounds are decimal strings, submitters base58. */
  export interface SubmissionInfo {
    submissions?: Record<string, Record<string, OnChainSubmission>>;
    submissions_audit_trigger?: Record<string, Record<string, AuditTrigger>>;
  }
  // A call that fails inside the node mostly resolves to {error}: everything but the promise itself is unknown until
  // checked.
  export const namespaceWrapper: {
    getSubmitterAccount(taskType?: string): Promise<unknown>;
    payloadSigning(body: object, secretKey?: Uint8Array): Promise<unknown>;
    getTaskSubmissionInfo(round: number): Promise<unknown>;
    getBasePath(): Promise<unknown>;
    getRpcUrl(): Promise<unknown>;
    storeGet(key: string): Promise<unknown>;
    storeSet(key: string, value: string): Promise<unknown>;
  };
  export const TASK_ID: string | undefined;
  export const K2_NODE_URL: string | undefined;
  export const app: {
    get(
      path: string,
      handler: (request: unknown, response: { status(code: number): { json(body: unknown): unknown } }) => unknown,
    ): unknown;
  };
}

declare module '@_koii/task-manager' {
  export function initializeTaskManager(steps: {
    setup: () => Promise<void>;
    task: (round: number) => Promise<void>;
    submission: (round: number) => Promise<string | undefined>;
    audit: (value: string, round: number, submitter: string) => Promise<boolean>;
    distribution: (
      submitters: { publicKey: string; votes: number; stake: number }[],
      bounty: number,
      round: number,
    ) => Promise<Record<string, number>>;
    routes: () => Promise<void>;
  }): unknown;
}

declare module '@_koii/task-manager/extensions' {
  export function initializeOrcaClient(
    getConfig: () => Promise<{
      imageURL: string;
      customPodSpec: string | null;
      rootCA: string | null;
      timeout?: number;
    }>,
  ): unknown;
  export function getOrcaClient(): Promise<{ podCall(route: string, options?: object): Promise<unknown> }>;
}

declare module '@_koii/storage-task-sdk' {
  export class KoiiStorageClient {
    static getInstance(options: object): {
      uploadFile(path: string, wallet: unknown): Promise<{ cid: unknown }>;
      getFile(cid: string, fileName: string): Promise<{ size: number; arrayBuffer(): Promise<ArrayBuffer> }>;
    };
  }
}
