/** What is remembered of images in the state database: which ran of a bundle, and where names have moved to. */

import { z } from "zod";

import type { RanImage } from "../../core/images.ts";
import { relativePath, type RelativePath } from "../../core/names.ts";
import type { Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { number, text } from "./rows.ts";

type Tables = Pick<
  Store,
  "ranImages" | "saveRanImages" | "movedImages" | "saveMovedImages" | "pulledImages" | "savePulledImage" | "forgetPulledImage"
>;

/** Rows; beyond, the oldest are forgotten, and stay on the host. */
const mostPulled = 2000;

const ranShape = z.record(z.string(), z.tuple([z.string(), z.string()]));

export function imageTables(database: Database): Tables {
  return {
    ranImages: (digest) => {
      const row = database.get("SELECT ran FROM bundles WHERE digest = :digest", { digest });
      const found = row === undefined ? [] : Object.entries(ranShape.parse(JSON.parse(text(row, "ran"))));
      return new Map(found.map(([path, [id, reference]]): [RelativePath, RanImage] => [relativePath(path), { id, reference }]));
    },
    saveRanImages: (digest, images) => {
      const ran = JSON.stringify(Object.fromEntries([...images].map(([path, { id, reference }]) => [path, [id, reference]])));
      database.run("UPDATE bundles SET ran = :ran WHERE digest = :digest AND ran <> :ran", { digest, ran });
    },
    pulledImages: () =>
      database.all("SELECT name, id, needed FROM pulled_images ORDER BY rowid", {}).map((row) => ({
        name: text(row, "name"),
        id: text(row, "id"),
        wasNeeded: number(row, "needed") === 1,
      })),
    savePulledImage: ({ name, id, wasNeeded }) => {
      database.run(
        `INSERT INTO pulled_images (name, id, needed) VALUES (:name, :id, :needed)
         ON CONFLICT (name, id) DO UPDATE SET needed = max(needed, excluded.needed)`,
        { name, id, needed: wasNeeded ? 1 : 0 },
      );
      database.run("DELETE FROM pulled_images WHERE rowid <= (SELECT max(rowid) FROM pulled_images) - :most", { most: mostPulled });
    },
    forgetPulledImage: ({ name, id }) => {
      database.run("DELETE FROM pulled_images WHERE name = :name AND id = :id", { name, id });
    },
    movedImages: (application) =>
      new Map(
        database
          .all("SELECT name, id, reference FROM moved_images WHERE application = :application ORDER BY name", { application })
          .map((row): [string, RanImage] => [text(row, "name"), { id: text(row, "id"), reference: text(row, "reference") }]),
      ),
    saveMovedImages: (application, images) => {
      database.atomically(() => {
        database.run("DELETE FROM moved_images WHERE application = :application", { application });
        for (const [name, { id, reference }] of images)
          database.put("moved_images", ["application", "name"], { application, name, id, reference });
      });
    },
  };
}
