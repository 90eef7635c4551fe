/** Whether the machine's date can be right: a small computer without a battery clock starts in the past, until the network tells it better. */

/** What is known of the present time besides the date itself. */
export interface ClockEvidence {
  readonly now: Date;
  /** The newest time that pgo has written down, or that a commit bears; undefined: nothing yet. */
  readonly newest: Date | undefined;
  /** Milliseconds since pgo started. */
  readonly running: number;
}

export interface ClockDoubt {
  readonly why: string;
  /** False: the date may well be right. */
  readonly certain: boolean;
}

/** pgo is younger than this, whatever the clock says. */
const oldest = new Date("2025-01-01T00:00:00Z");
/** Clocks of those who commit may be ahead by so much. */
const tolerance = 3_600_000;
/** NTP has set the clock by then, where there is any: before, a date that is only a little late can't be told from the right one. */
const settling = 120_000;
/** A date that stays behind for so long is believed: it was what went before that was wrong. */
const patience = 3_600_000;

/** Why the date is not gone by; undefined where nothing speaks against it. */
export function clockDoubt({ now, newest, running }: ClockEvidence): ClockDoubt | undefined {
  const wrong = (since: string): ClockDoubt => ({
    why: `the host's clock can't be right, it says ${day(now)}, before ${since}: see timedatectl`,
    certain: true,
  });
  if (now < oldest) return wrong("pgo was made");
  if (newest !== undefined && now.getTime() < newest.getTime() - tolerance && running < patience)
    return wrong(`${newest.toISOString()}, which has been`);
  if (running < settling) return { why: "pgo has just started: the host's clock gets two minutes to be set", certain: false };
  return undefined;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
