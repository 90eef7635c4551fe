/** The syntax of unit files (systemd.syntax(7)), and the sections around a quadlet's own. */

import type { Table } from "./table.ts";

const head = "[Container]\nImage=localhost/web:1\n";
const file = (text: string) => ({ "NAME.container": text });
const torn = "which is not a key-value pair, group, or comment";

export const syntax: readonly Table[] = [
  {
    kind: "container",
    usual: "Image=localhost/web:1",
    lines: {
      "valid comments": { files: file(`# a comment\n; another\n${head}# and\n  # indented\n`) },
      "valid empty lines": { files: file(`\n\n[Container]\n\nImage=localhost/web:1\n\n\n`) },
      "valid no line end at the end": { files: file("[Container]\nImage=localhost/web:1") },
      "valid blanks around the equals sign": { files: file("[Container]\nImage = localhost/web:1\n") },
      "valid blanks behind": { files: file("[Container]  \nImage=localhost/web:1   \n") },
      "valid a continued line": { files: file(`${head}Exec=sh -c \\\n  "echo a" \\\n  b\n`) },
      "valid a comment within a continued line": { files: file(`${head}Exec=sh \\\n# a comment\n  -c true\n`) },
      "valid a continued line at the end": { files: file(`${head}Exec=true \\\n`) },
      "valid a section twice": { files: file(`${head}[Service]\nRestart=always\n[Container]\nExec=true\n`) },
      "valid other sections": {
        files: file(`[Unit]\nDescription=Web\n${head}[Service]\nRestart=always\n[Install]\nWantedBy=default.target\n`),
      },
      "valid unknown keys in systemd's sections": { files: file(`[Unit]\nDescriptoin=Web\n${head}[Service]\nRestrat=always\n`) },
      "valid a section of one's own": { files: file(`${head}[X-Web]\nAnything=goes\n`) },
      "valid a section that nobody knows": { files: file(`${head}[Elsewhere]\nKey=value\n`) },
      "valid an empty value": { files: file(`${head}Exec=\n`) },
      "valid letters beyond ASCII": { files: file(`${head}Label=stadt=Zürich\nEnvironment=GREETING=グリュエッツィ\n`) },
      "valid escapes in quotes": { files: file(`${head}Environment="A=\\x41\\t\\u00e9" 'B=\\\\n'\n`) },
      "valid an equals sign in a value": { files: file(`${head}Environment=A=b=c=d\n`) },
      "valid dollars": { files: file(`${head}Exec=sh -c "echo $$HOME $\{HOME}"\n`) },
      "valid percents": { files: file(`${head}Exec=date +%%s\n`) },
      "valid line ends of Windows": { files: file("[Container]\r\nImage=localhost/web:1\r\n") },
      "invalid a byte order mark": { files: file(`\uFEFF${head}`), says: torn },
      "valid the kind of the service": { files: file(`${head}[Service]\nType=oneshot\nRemainAfterExit=yes\n`) },
      "valid how it is killed": { files: file(`${head}[Service]\nKillMode=mixed\n`) },
      "valid no default dependencies": { files: file(`${head}[Quadlet]\nDefaultDependencies=false\n`) },
      "invalid a line without an equals sign": { files: file(`${head}Publish\n`), says: torn },
      "invalid a section that is not closed": { files: file("[Container\nImage=localhost/web:1\n"), says: torn },
      "invalid a section without a name": { files: file(`${head}[]\n`), says: "invalid group name" },
      "invalid keys before any section": {
        files: file(`Image=localhost/web:1\n[Container]\n`),
        says: "key file does not start with a group",
      },
      "invalid an equals sign without a key": { files: file(`${head}=value\n`), says: torn },
      "invalid a key with a blank in it": { files: file(`${head}Publish Port=80\n`), says: "unsupported key 'Publish Port'" },
      "invalid a key with a hyphen": { files: file(`${head}Publish-Port=80\n`), says: "unsupported key 'Publish-Port'" },
      "invalid a key with an underscore": { files: file(`${head}Publish_Port=80\n`), says: "unsupported key 'Publish_Port'" },
      "invalid YAML": { files: file("services:\n  web:\n    image: localhost/web:1\n"), says: torn },
      "invalid JSON": { files: file('{ "Image": "localhost/web:1" }\n'), says: torn },
      "invalid a section in the wrong letter case": {
        files: file("[container]\nImage=localhost/web:1\n"),
        says: "no Image or Rootfs key specified",
      },
      "invalid a section of another kind": { files: file("[Network]\nSubnet=10.0.0.0/24\n"), says: "no Image or Rootfs key specified" },
      "invalid an empty file": { files: file(""), says: "no Image or Rootfs key specified" },
      "invalid a continuation that swallows the next line": {
        files: file("[Container]\nExec=true \\\nImage=localhost/web:1\n"),
        says: "no Image or Rootfs key specified",
      },
      "valid a quote that is not closed": { files: file(`${head}Environment="A=b\n`) },
      "valid an escape that nobody knows": { files: file(`${head}Exec=echo "\\q"\n`) },
      "valid an environment without a value": { files: file(`${head}Environment=A\n`) },
      "invalid the kind of the service": { files: file(`${head}[Service]\nType=simple\n`), says: "invalid service Type 'simple'" },
      "invalid how it is killed": { files: file(`${head}[Service]\nKillMode=process\n`), says: "invalid KillMode 'process'" },
      "invalid an unknown key of [Quadlet]": {
        files: file(`${head}[Quadlet]\nDefault=false\n`),
        says: "unsupported key 'Default' in group 'Quadlet'",
      },
      "invalid the second of two units": {
        files: { "NAME.container": head, "NAME-b.container": "[Container]\nImages=localhost/web:1\n" },
        says: "unsupported key 'Images'",
      },
      "invalid a broken unit in a subdirectory": {
        files: { "NAME.container": head, "deep/er/NAME-b.container": "[Container]\nImage\n" },
        says: torn,
      },
      "valid a unit in a subdirectory": { files: { "deep/er/NAME.container": head } },
      "valid files that are no units": { files: { "NAME.container": head, "conf/web.conf": "not a unit\n", "NAME.env": "A=b\n" } },
    },
  },
];
