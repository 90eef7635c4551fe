/** pgo.toml on the host -> Config: found, read, checked against the schema and against the disk, before anything starts. */

import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import type { Problem } from "./core/bundle.ts";
import { configOf, hostConfig, type Config, type HostConfig } from "./core/config.ts";
import { success, trouble, type Result } from "./core/result.ts";
import { readTomlWithPlaces, type Read } from "./core/toml.ts";
import { placesOf, type Places } from "./places.ts";

/** Reads the configuration (src/places.ts: which file, which defaults). All problems at once; a file that can't be read is one. */
export async function loadConfig(environment: NodeJS.ProcessEnv): Promise<Result<Config, readonly Problem[]>> {
  const { config: file, directories } = placesOf(environment);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    return trouble([{ file, line: undefined, message: unreadable(error, "does not exist: pgo config init writes one") }]);
  }
  const read = readTomlWithPlaces(text, file, hostConfig(directories));
  if (!read.ok) return read;
  const config = configOf(read.value.value);
  const problems = await missingFiles(read.value, file, config.secrets.directory);
  return problems.length > 0 ? trouble(problems) : success(config);
}

/** Every directory that pgo must see, by its path on the host; some may lie in others. */
export function directoriesOf(config: Config, { config: file }: Places): readonly string[] {
  return [
    config.quadlet.directory,
    config.quadlet.unitDirectory,
    config.state.directory,
    dirname(config.state.database),
    config.secrets.directory,
    dirname(file),
  ];
}

/** Files that pgo.toml names and without which no source could be read. */
async function missingFiles({ value, place }: Read<HostConfig>, file: string, secrets: string): Promise<readonly Problem[]> {
  const named = value.source.flatMap(({ auth }, index) => {
    const at = ["source", index, "auth"] as const;
    if (auth === undefined) return [];
    if ("ssh_key" in auth)
      return [
        { key: [...at, "ssh_key"], path: auth.ssh_key, secret: true },
        ...(auth.known_hosts === undefined ? [] : [{ key: [...at, "known_hosts"], path: auth.known_hosts, secret: false }]),
      ];
    return "file" in auth.password ? [{ key: [...at, "password"], path: resolve(secrets, auth.password.file), secret: true }] : [];
  });
  const problems = await Promise.all(
    named.map(async ({ key, path, secret }) => {
      const message = await wrongWith(path, secret);
      return message === undefined
        ? []
        : [{ file, ...(place(key) ?? { line: undefined }), message: `${String(key.at(-1))}: ${path} ${message}` }];
    }),
  );
  return problems.flat();
}

/** Why a file can't be used; undefined if it can. */
async function wrongWith(path: string, secret: boolean): Promise<string | undefined> {
  try {
    const { mode, uid } = await stat(path);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return "is not a file";
    await access(path, constants.R_OK);
    // ssh(1) refuses such a key too, and only where the file is the user's own.
    if (secret && uid === process.getuid?.() && (mode & 0o077) !== 0) return `can be read by others: chmod 600 ${path}`;
    return undefined;
  } catch (error) {
    return unreadable(error, "does not exist (pgo's container only sees what is mounted: keep it beside pgo.toml)");
  }
}

function unreadable(error: unknown, absent: string): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return absent;
    case "EACCES":
    case "EPERM":
      return `can't be read by pgo's user (uid ${String(process.getuid?.() ?? 0)}): chown it to that user`;
    case "EISDIR":
      return "is a directory";
    case undefined:
    default:
      throw error;
  }
}
