// Is what stands on standard input valid against the schema that the argument names?
import { readFileSync } from "node:fs";
import { validateXML } from "xmllint-wasm";

const result = await validateXML({
  xml: [{ fileName: "report.xml", contents: readFileSync(0, "utf8") }],
  schema: [readFileSync(process.argv[2], "utf8")],
});
for (const error of result.errors) console.error(error.message);
process.exit(result.valid ? 0 : 1);
