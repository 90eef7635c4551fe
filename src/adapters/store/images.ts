/** What is remembered of images in the state database: which ran of a bundle, and where names have moved to. */

import { z } from "zod";

import type { RanImage } from "../../core/images.ts";
import { relativePath, type RelativePath } from "../../core/names.ts";
import type { Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { text } from "./rows.ts";

type Tables = Pick<Store, "ranImages" | "saveRanImages" | "movedImages" | "saveMovedImages">;

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
