/** What the part inside pgo and the part outside of it tell each other. */

/** A place in a rollout: so many of its steps are recorded, and so many changes have been made since. */
export interface Place {
  /** -1: before the intention is saved. */
  readonly step: number;
  readonly effect: number;
}

export interface Order extends Place {
  /** Before the change is begun; or after, so many milliseconds later or when the next one begins. */
  readonly how: "before" | "during";
  readonly delay: number;
  /** pgo is stopped there for ever, to be killed; or it sends itself SIGTERM and goes on. */
  readonly by: "kill" | "SIGTERM";
}

/** A change of the world. */
export interface Effect extends Place {
  readonly what: string;
  /** It goes on after it has been begun. */
  readonly lasts: boolean;
}

/** What a rollout that nobody disturbs leaves: its changes, its steps as they are recorded, its end. */
export type Traced = Effect | { readonly step: number; readonly kind: string; readonly target: string } | { readonly finished: true };
