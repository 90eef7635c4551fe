/** pgo's own quadlet, made from the one that the image carries: its image, and the directories that pgo.toml names. */

export interface SelfQuadlet {
  readonly image: string;
  /** Directories that pgo needs; each gets a mount at the same path, where no mount covers it yet. */
  readonly directories: readonly string[];
  /** The user's home and runtime directory, for `%h` and `%t` of what is mounted already; undefined when rootful. */
  readonly specifiers: { readonly home: string; readonly runtime: string } | undefined;
}

/** `template` is quadlet/pgo.container or its rootless variant. */
export function selfQuadlet(template: string, { image, directories, specifiers }: SelfQuadlet): string {
  const mounts = [...template.matchAll(/^Volume=([^:\n]+):/gm)].map(([, path = ""]) =>
    specifiers === undefined ? path : path.replace(/^%h/, specifiers.home).replace(/^%t/, specifiers.runtime),
  );
  const missing = directories.filter(
    (directory, index) => directories.indexOf(directory) === index && !mounts.some((mount) => isBelow(directory, mount)),
  );
  const volumes = missing.map((directory) => `Volume=${directory}:${directory}\n`).join("");
  return template.replace(/^Image=.*$/m, `Image=${image}`).replace(/^(?=HealthCmd=)/m, volumes);
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}
