/** pgo replaced by another version of itself from Git, by one that works and by those that don't; each time a healthy pgo is left, and no application has noticed. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, quick, web } from "./installed.ts";

const config = `${quick}
[self]
source = "fleet"
deadline = "30s"
`;

/** Other versions, made of the one that is installed. */
const versions = {
  second: "ENV VERSION=2",
  third: "ENV VERSION=3",
  crashing: 'ENTRYPOINT ["/bin/false"]',
  hanging: 'ENTRYPOINT ["/bin/sh", "-c", "exec sleep infinity"]',
  // Healthy, and changes the database's shape, but its word that it works never comes.
  silent: `RUN sed -i 's/"answer.json"/"reply.json"/' /app/src/adapters/handover/files.js && \\
    sed -i 's/^];$/    "CREATE TABLE later (x TEXT) STRICT;",\\n];/' /app/src/adapters/store/migrations.js && \\
    grep -q reply.json /app/src/adapters/handover/files.js && grep -q "TABLE later" /app/src/adapters/store/migrations.js`,
  // Takes the database for a newer pgo's.
  older: `RUN sed -i 's/Number(database.pragma("user_version"))/100/' /app/src/adapters/store/migrations.js && grep -q "= 100" /app/src/adapters/store/migrations.js`,
} as const;
type Version = keyof typeof versions;

/** Those that do not work, with what is said of them. What takes the whole deadline is tried once. */
const faulty: Readonly<Record<"root" | "edge", readonly (readonly [Version, RegExp])[]>> = {
  root: [
    ["crashing", /job failed \(exit-code, exit 1\)/],
    ["hanging", /not done after 30 s/],
    ["older", /job failed/],
  ],
  edge: [["silent", /did not say within 30 s that it works/]],
};

for (const user of ["root", "edge"] as const)
  test(`${user}: pgo is replaced from Git, or stays`, async (t) => {
    const pgo = await Installed.up(t, { user, config, files: { "shop/web.container": web("good", 8081) } });
    const { host, repository } = pgo;
    const needed = new Set<string>(["second", "third", "crashing", ...faulty[user].map(([tag]) => tag)]);
    for (const [name, line] of Object.entries(versions).filter(([tag]) => needed.has(tag)))
      await host.exec(["podman", "build", "--quiet", "--pull=never", "--tag", `localhost/pgo:${name}`, "-"], {
        input: `FROM localhost/pgo:latest\n${line}\n`,
        timeout: 300_000,
      });
    await pgo.deployed("shop");
    const installed = await host.read(`${host.quadlets}/pgo-self/pgo.container`);
    const quadlet = (tag: string) => installed.replace(/^Image=.*$/m, `Image=localhost/pgo:${tag}`);
    const commit = (tag: string) => repository.commit({ "pgo/pgo.container": quadlet(tag) }, tag);
    const image = async () => (await host.exec(["podman", "inspect", "--format", "{{.ImageName}}", "pgo"])).stdout.trim();
    const isLeft = async (tag: string) => {
      assert.equal(await image(), `localhost/pgo:${tag}`);
      assert.equal(await host.read(`${host.quadlets}/pgo-self/pgo.container`), quadlet(tag));
      const unit = `${user === "root" ? "/etc/systemd/system" : `${host.home}/.config/systemd/user`}/pgo-handover.service`;
      await host.waitFor("the handover's unit to be gone", async () => !(await host.exists(unit)));
      assert.equal(await pgo.invocation("web.service"), running, "no application has noticed");
      assert.equal((await pgo.status()).applications.find(({ name }) => name === "shop")?.health, "healthy");
    };
    let running = await pgo.invocation("web.service");

    await t.test("what is installed already is taken as it is", async () => {
      const before = await pgo.invocation("pgo.service");
      await pgo.outcome("pgo", await commit("latest"), "deployed");
      assert.equal(await pgo.invocation("pgo.service"), before);
      await isLeft("latest");
    });

    await t.test("one that works takes over", async () => {
      await pgo.outcome("pgo", await commit("second"), "deployed", 120_000);
      await isLeft("second");
      const [last] = await pgo.history("pgo");
      assert.deepEqual(
        [last?.cause, last?.outcome, last?.description.replace(/[\d.]+ s$/, "…")],
        ["self-update", "deployed", "healthy by podman after …"],
      );
    });

    for (const [tag, why] of faulty[user])
      await t.test(`one that does not is undone: ${tag}`, async () => {
        await pgo.outcome("pgo", await commit(tag), "rolled-back", 180_000);
        await isLeft("second");
        const [last] = await pgo.history("pgo");
        assert.match(last?.description ?? "", why);
        assert.match(last?.description ?? "", new RegExp(`localhost/pgo:${tag}: .*; back on the last good version`));
      });

    if (user === "root")
      await t.test("one whose image is not there is held, and a quadlet that can't be read is rejected", async () => {
        const before = await pgo.invocation("pgo.service");
        await pgo.outcome("pgo", await commit("none"), "held");
        await pgo.outcome(
          "pgo",
          await repository.commit({ "pgo/pgo.container": quadlet("third").replace("[Container]", "[Container]\nBogus=1") }),
          "rejected",
        );
        assert.equal(await pgo.invocation("pgo.service"), before);
        await isLeft("second");
      });

    if (user === "edge")
      await t.test("the handover's own process killed in the middle, it goes on", async () => {
        const revision = await commit("latest");
        await host.waitFor("the handover", () => pgo.isActive("pgo-handover.service"), 60_000);
        await host.systemctl(["kill", "--signal=KILL", "pgo-handover.service"]);
        await pgo.outcome("pgo", revision, "deployed", 120_000);
        await isLeft("latest");
      });

    for (const [tag, outcome, left] of [
      ["second", "deployed", "second"],
      ["crashing", "rolled-back", "latest"],
    ] as const)
      if ((outcome === "deployed") === (user === "root"))
        await t.test(`the power cut in the middle, the new one ${outcome === "deployed" ? "good" : "bad"}`, async () => {
          // What failed before is in quarantine: this is other content.
          const revision = await repository.commit({ "pgo/pgo.container": `${quadlet(tag)}# again\n` });
          await host.waitFor(
            "the new one",
            async () => (await host.read(`${host.quadlets}/pgo-self/pgo.container`)).includes("# again"),
            60_000,
          );
          await host.kill();
          await host.boot();
          await host.waitFor("web.service", () => pgo.isActive("web.service"), 60_000);
          running = await pgo.invocation("web.service");
          await pgo.outcome("pgo", revision, outcome, 180_000);
          assert.equal(await image(), `localhost/pgo:${left}`);
          assert.equal(await pgo.invocation("web.service"), running);
        });

    if (user === "root")
      await t.test("two quickly after another end with the second", async () => {
        await commit("latest");
        await host.waitFor("the handover", () => pgo.isActive("pgo-handover.service"), 60_000);
        await pgo.outcome("pgo", await commit("third"), "deployed", 180_000);
        await isLeft("third");
      });

    const outcomes = (await pgo.history("pgo")).map(({ outcome }) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === null).length, 0);
    t.diagnostic(outcomes.join(" "));
  });
