/** Faults at any call of any port: an error before or after the act, trouble as a value, or the end of pgo's process. */

import { trouble } from "../../src/core/result.ts";

export type FaultKind =
  /** The call throws, and nothing was done. */
  | "throws"
  /** It was done, and then the call throws: the answer is lost. */
  | "loses the answer"
  /** The call answers with trouble where it can, else throws. */
  | "answers with trouble"
  /** pgo is killed before the act, or right after it. */
  | "killed before"
  | "killed after";

export interface Fault {
  readonly kind: FaultKind;
  /** Which calls count: those that change the host, those that change it or pgo's state, or all. */
  readonly among: keyof typeof calls;
  /** How many of those go well from now on, and how many in a row then don't. */
  readonly after: number;
  readonly times: number;
}

const calls = {
  host: /^(?:write|overwrite|remove|takeAway|putBack|removeNetwork|exportVolume|importVolume|removeVolume|removeImage|signal|saveSecret|removeSecret|reload|job|resetFailed|pull)$/,
  changes:
    /^(?:write|overwrite|remove|takeAway|putBack|exportVolume|importVolume|signal|reload$|job|reset|pull|save|begin|end|finish|add|forget|set|quarantine$|release|count|atomically|trim)/,
  all: /^/,
};

export class Killed extends Error {}

/** Calls whose answer is a Result, where trouble is expected. */
const results = new Set([
  "head",
  "fetch",
  "job",
  "signal",
  "pull",
  "removeNetwork",
  "exportVolume",
  "importVolume",
  "removeVolume",
  "removeImage",
  "saveSecret",
  "removeSecret",
]);

/** One life of pgo's process: its ports, wrapped, and its end. Once killed, no call of it has any effect. */
export class Life {
  readonly #end = new AbortController();
  /** Ends the waiting that is under way: aborted when it is killed. */
  readonly signal = this.#end.signal;
  readonly #faults: FaultSchedule;

  constructor(faults: FaultSchedule) {
    this.#faults = faults;
  }

  get over(): boolean {
    return this.signal.aborted;
  }

  kill(): void {
    this.#end.abort(new Killed("killed"));
  }

  /** The same port, with whatever befalls its calls; all its methods answer with promises. */
  wrap<Port extends object>(port: Port): Port {
    return this.#wrapped(port, async (call) => {
      await Promise.resolve();
      return call();
    });
  }

  /** The same for a port whose methods answer at once. */
  wrapSynchronous<Port extends object>(port: Port): Port {
    return this.#wrapped(port, (call) => call());
  }

  #wrapped<Port extends object>(port: Port, made: (call: () => unknown) => unknown): Port {
    return new Proxy(port, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function" || typeof name !== "string") return method;
        return (...given: readonly unknown[]): unknown =>
          made(() => this.#call(name, () => Reflect.apply(method, target, given) as unknown));
      },
    });
  }

  #call(name: string, act: () => unknown): unknown {
    this.#unlessOver();
    const due = this.#faults.next(name);
    // A probe never throws, as its port says.
    const fault = name === "probe" && due?.startsWith("killed") !== true ? undefined : due;
    if (fault === "killed before") this.kill();
    this.#unlessOver();
    if (fault === "throws") throw new Error(`${name} failed`);
    if (fault === "answers with trouble") {
      if (results.has(name))
        return Promise.resolve(
          trouble(name === "head" || name === "fetch" ? { reason: `${name} failed`, transient: true } : `${name} failed`),
        );
      throw new Error(`${name} failed`);
    }
    const answer = act();
    if (answer instanceof Promise) return answer.then((value: unknown) => this.#afterwards(name, fault, value));
    return this.#afterwards(name, fault, answer);
  }

  #afterwards(name: string, fault: FaultKind | undefined, value: unknown): unknown {
    if (fault === "killed after") this.kill();
    this.#unlessOver();
    if (fault === "loses the answer") throw new Error(`${name}: the answer is lost`);
    return value;
  }

  #unlessOver(): void {
    this.signal.throwIfAborted();
  }
}

/** Which calls go wrong: counted over all ports and lives. */
export class FaultSchedule {
  readonly #calls = { host: 0, changes: 0, all: 0 };
  readonly #due = { host: new Map<number, FaultKind>(), changes: new Map<number, FaultKind>(), all: new Map<number, FaultKind>() };
  /** What has happened so far: `job: throws`. */
  readonly happened: string[] = [];

  add({ kind, among, after, times }: Fault): void {
    for (let time = 0; time < times; time++) this.#due[among].set(this.#calls[among] + after + time, kind);
  }

  clear(): void {
    for (const due of Object.values(this.#due)) due.clear();
  }

  next(name: string): FaultKind | undefined {
    const counted = (["host", "changes", "all"] as const).filter((among) => calls[among].test(name)).map((among) => this.#count(among));
    const kind = counted.find((one) => one !== undefined);
    if (kind !== undefined) this.happened.push(`${name}: ${kind}`);
    return kind;
  }

  #count(among: Fault["among"]): FaultKind | undefined {
    const kind = this.#due[among].get(this.#calls[among]);
    this.#calls[among] += 1;
    return kind;
  }
}
