/** What the words of the command line do: each action loads the part of the program that it needs, and no other. */

import type { Actions } from "./cli/program.ts";
import type { Terminal } from "./cli/ctl.ts";
import { ownSecretsIn, socketIn, type Places } from "./places.ts";

export function actions(places: Places, environment: NodeJS.ProcessEnv, terminal: Terminal): Actions {
  const site = { places, environment, terminal, shipped: new URL("../", import.meta.url) };
  const socket = socketIn(places.directories.state);
  const configuredSocket = async () => {
    const config = await quietly(environment);
    return config === undefined ? undefined : socketIn(config.state.directory);
  };
  return {
    async run(signal) {
      const config = await configured(environment, terminal);
      if (config === undefined) return 2;
      const { runDaemon } = await import("./app.ts");
      try {
        await runDaemon(config, places, environment, signal);
      } catch (error) {
        // Asked to end before it had begun, which is as good an end as any.
        if (error !== signal.reason) throw error;
      }
      return 0;
    },

    async bootstrap(options, signal) {
      const { bootstrap } = await import("./bootstrap.ts");
      return bootstrap(options, site, signal);
    },

    async uninstall(options, signal) {
      const { uninstall } = await import("./bootstrap.ts");
      return uninstall(options, site, signal);
    },

    async handover({ state }, signal) {
      const { carryHandover } = await import("./handover.ts");
      return carryHandover(state, site, signal);
    },

    async restoreBackup({ file }, signal) {
      const { restoreBackup } = await import("./restore.ts");
      const config = await quietly(environment);
      const state = config?.state.directory ?? places.directories.state;
      const start = places.mode === "rootful" ? "systemctl start pgo.service" : "systemctl --user start pgo.service";
      return restoreBackup(file, { state, database: config?.state.database ?? `${state}/state.db`, terminal, start }, signal);
    },

    async validate(options, signal) {
      const { validate } = await import("./validate.ts");
      return validate(options, { environment, terminal }, signal);
    },

    async configCheck() {
      const config = await configured(environment, terminal);
      if (config === undefined) return 2;
      const names = config.sources.map((source) => source.name);
      terminal.out(`${places.config} is right: ${names.length === 0 ? "it names no source" : `sources ${names.join(", ")}`}\n`);
      const { nextWindows } = await import("./core/schedule-config.ts");
      for (const line of nextWindows(config, terminal.now())) terminal.out(`${line}\n`);
      return 0;
    },

    async configDirectories() {
      const config = await configured(environment, terminal);
      if (config === undefined) return 2;
      const { directoriesOf } = await import("./config.ts");
      terminal.out(
        directoriesOf(config, places)
          .map((directory) => `${directory}\n`)
          .join(""),
      );
      return 0;
    },

    async configInit({ output }) {
      const { configTemplate } = await import("./core/config-template.ts");
      const text = configTemplate(places.directories);
      if (output === undefined) terminal.out(text);
      else {
        const { writeFile } = await import("node:fs/promises");
        await writeFile(output, text, { flag: "wx" });
        terminal.out(`wrote ${output}\n`);
      }
      return 0;
    },

    async healthcheck(signal) {
      const { healthcheck } = await import("./cli/healthcheck.ts");
      return healthcheck({ socket, configuredSocket }, terminal, signal);
    },

    async ctl(command, options, signal) {
      const { ctl } = await import("./cli/ctl.ts");
      return ctl(
        command,
        {
          socket: options.socket ?? socket,
          configuredSocket,
          offline: async () => {
            const { openOffline } = await import("./offline.ts");
            const config = await quietly(environment);
            return openOffline(config?.state.database ?? `${places.directories.state}/state.db`);
          },
          advice: places.mode === "rootful" ? "systemctl status pgo.service" : "systemctl --user status pgo.service",
        },
        terminal,
        signal,
      );
    },

    async secret(command, signal) {
      const [{ secret }, { readValue }, { openOwnSecrets }] = await Promise.all([
        import("./cli/secret.ts"),
        import("./cli/prompt.ts"),
        import("./adapters/sealed/own-secrets.ts"),
      ]);
      const config = await quietly(environment);
      const directory = ownSecretsIn(config?.state.directory ?? places.directories.state);
      const store = openOwnSecrets(directory, [config?.secrets.directory ?? places.directories.secrets]);
      const ask = (question: string) => readValue(process.stdin, { question, err: terminal.err }, signal);
      return secret(command, { store, directory, ask, environment }, terminal);
    },
  };
}

/** The configuration, or its problems on stderr. */
async function configured(environment: NodeJS.ProcessEnv, terminal: Terminal) {
  const [{ loadConfig }, { problemLine }] = await Promise.all([import("./config.ts"), import("./cli/render.ts")]);
  const config = await loadConfig(environment);
  if (config.ok) return config.value;
  for (const problem of config.trouble) terminal.err(`${problemLine(problem)}\n`);
  return undefined;
}

async function quietly(environment: NodeJS.ProcessEnv) {
  const { loadConfig } = await import("./config.ts");
  const config = await loadConfig(environment);
  return config.ok ? config.value : undefined;
}
