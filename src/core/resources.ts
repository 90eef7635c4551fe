/** What a unit's containers use of the host, from one sample to the next, and whether that is more than they may. */

import { bytesText } from "./size.ts";

/** Of one running container, as Podman reads it from the kernel. Undefined where the kernel gives no figure. */
export interface ContainerFigures {
  /** In bytes. */
  readonly memory: number | undefined;
  /** Bytes that it may use: its limit, or the host's memory where it has none. */
  readonly memoryLimit: number | undefined;
  /** Seconds of one core since it was started. */
  readonly cpuSeconds: number | undefined;
}

/** Of a service, as systemd has it. */
export interface ServiceFigures {
  /** `MemoryMax=` of its own, in bytes; undefined where it has none. */
  readonly memoryMax: number | undefined;
  /** How often the kernel has killed processes of it for want of memory since the host was booted; undefined where nobody can say. */
  readonly oomKills: number | undefined;
}

/** What is read of a service at one moment. */
export interface Readings {
  readonly at: Date;
  /** Those of its containers that run, by id. */
  readonly containers: ReadonlyMap<string, ContainerFigures>;
  readonly service: ServiceFigures;
  readonly restarts: number;
}

/** What a service uses, all its containers together. */
export interface Usage extends ContainerFigures {
  readonly at: Date;
  /** Ids of the containers that it was read of. */
  readonly of: readonly string[];
  /** Part of one core since the sample before, 1.5 for one and a half; undefined for the first sample. */
  readonly cpu: number | undefined;
  readonly restarts: number;
  readonly oomKills: number | undefined;
}

/** More than this is a failure. */
export interface Limits {
  /** Part of what it may use, or bytes. */
  readonly memory: { readonly part: number } | { readonly bytes: number } | undefined;
  /** Part of one core, from one sample to the next. */
  readonly cpu: number | undefined;
}

/** Adds up a service's containers; undefined where none runs. */
export function usageOf({ at, containers, service, restarts }: Readings, before: Usage | undefined): Usage | undefined {
  if (containers.size === 0) return undefined;
  const all = [...containers.values()];
  const limits = [sum(all.map((one) => one.memoryLimit)), service.memoryMax].filter((one) => one !== undefined);
  const cpuSeconds = sum(all.map((one) => one.cpuSeconds));
  const of = [...containers.keys()].sort();
  const seconds = before === undefined ? 0 : (at.getTime() - before.at.getTime()) / 1000;
  const isSame = before?.of.join() === of.join() && seconds > 0;
  const memory = sum(all.map((one) => one.memory));
  const spent = isSame && cpuSeconds !== undefined && before.cpuSeconds !== undefined ? cpuSeconds - before.cpuSeconds : -1;
  return {
    ...{ at, of, restarts, memory, cpuSeconds },
    memoryLimit: limits.length === 0 ? undefined : Math.min(...limits),
    cpu: spent < 0 ? undefined : spent / seconds,
    // systemd is told by the same controller.
    oomKills: memory === undefined ? undefined : service.oomKills,
  };
}

/** In what a service uses more than it may; undefined where it does not, or where there is no figure. */
export function excess({ memory, memoryLimit, cpu }: Usage, limits: Limits): string | undefined {
  const most = limits.memory && ("bytes" in limits.memory ? limits.memory.bytes : memoryLimit && limits.memory.part * memoryLimit);
  if (memory !== undefined && most !== undefined && memory > most) {
    const part =
      limits.memory && "part" in limits.memory ? `${percent(limits.memory.part)} of ${bytesText(memoryLimit ?? 0)}` : bytesText(most);
    return `it uses ${bytesText(memory)} of memory, more than ${part}`;
  }
  if (cpu !== undefined && limits.cpu !== undefined && cpu > limits.cpu)
    return `it used ${percent(cpu)} of a core since the look before, more than ${percent(limits.cpu)}`;
  return undefined;
}

/** Which figures there are not, and why. */
export function lacks({ memory, cpuSeconds, oomKills }: Usage): readonly string[] {
  return [
    ...(memory === undefined ? ["memory, OOM kills: no figure, the kernel's memory controller is not enabled for containers"] : []),
    ...(cpuSeconds === undefined ? ["CPU: no figure, the kernel gives none for containers"] : []),
    ...(memory !== undefined && oomKills === undefined ? ["OOM kills: no figure, the host's journal can't be read"] : []),
  ];
}

/** "memory 43 MB of 268 MB, CPU 3 % of a core, 0 restarts, 0 OOM kills"; what there is no figure of is left out. */
export function usageText({
  memory,
  memoryLimit,
  cpu,
  restarts,
  oomKills,
}: Pick<Usage, "memory" | "memoryLimit" | "cpu" | "restarts" | "oomKills">): string {
  return [
    ...(memory === undefined ? [] : [`memory ${bytesText(memory)}${memoryLimit === undefined ? "" : ` of ${bytesText(memoryLimit)}`}`]),
    ...(cpu === undefined ? [] : [`CPU ${percent(cpu)} of a core`]),
    `${String(restarts)} restart${restarts === 1 ? "" : "s"}`,
    ...(oomKills === undefined ? [] : [`${String(oomKills)} OOM kill${oomKills === 1 ? "" : "s"}`]),
  ].join(", ");
}

export function percent(part: number): string {
  return `${String(Math.round(part * 1000) / 10)} %`;
}

/** Undefined where one of them has none. */
function sum(figures: readonly (number | undefined)[]): number | undefined {
  return figures.reduce<number | undefined>((all, one) => (all === undefined || one === undefined ? undefined : all + one), 0);
}
