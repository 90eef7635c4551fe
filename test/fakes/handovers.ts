/** Handovers in memory: what the host would do outside of pgo is done at once, by the image's name. */

import type { Answer, Handover, Side } from "../../src/core/handover.ts";
import type { ServiceName } from "../../src/core/names.ts";
import { success, trouble } from "../../src/core/result.ts";
import type { Handovers } from "../../src/ports.ts";
import { selfDirectory, type World } from "./world.ts";

export class FakeHandovers implements Handovers {
  readonly directory = selfDirectory;
  /** Images whose pgo does not work, with what is said of it. */
  readonly broken = new Map<string, string>();
  /** What was begun, by image. */
  readonly begun: string[] = [];
  readonly answers: Answer[] = [];
  saved: Handover | undefined;
  /** Why the host can't begin it. */
  refusal: string | undefined;
  /** What carries it out never comes to anything. */
  isStuck = false;
  cleared = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  record(): Promise<Handover | undefined> {
    return Promise.resolve(this.saved);
  }

  present(): Promise<Side["files"]> {
    const files = [...this.#world.machine.files].filter(([path]) => path.startsWith(`${selfDirectory}/`));
    return Promise.resolve(files.map(([path, { content }]) => ({ path: path.slice(selfDirectory.length + 1), text: content })));
  }

  begin(record: Handover): ReturnType<Handovers["begin"]> {
    this.begun.push(record.to.image);
    this.saved = record;
    if (this.refusal !== undefined) return Promise.resolve(trouble(this.refusal));
    if (this.isStuck) return Promise.resolve(success(undefined));
    const because = this.broken.get(record.to.image);
    if (because === undefined)
      for (const { path, text } of record.to.files)
        this.#world.machine.files.set(`${selfDirectory}/${path}`, { mode: 0o644, content: text });
    if (because === undefined) {
      this.#world.machine.reload();
      this.#world.machine.restart("pgo.service" as ServiceName);
    }
    this.saved = { ...record, phase: because === undefined ? { at: "done" } : { at: "undone", because } };
    return Promise.resolve(success(undefined));
  }

  pursue(record: Handover): ReturnType<Handovers["begin"]> {
    return this.begin(record);
  }

  abandon(because: string): Promise<void> {
    if (this.saved !== undefined) this.saved = { ...this.saved, phase: { at: "undone", because } };
    return Promise.resolve();
  }

  answer(answer: Answer): Promise<void> {
    this.answers.push(answer);
    return Promise.resolve();
  }

  clear(): Promise<boolean> {
    this.cleared += 1;
    return Promise.resolve(true);
  }
}
