// Reads documents, one JSON string a line, and writes what graphql-js reads them as: a tree
// of arrays, or null where it is no document.
import { createInterface } from "node:readline";
import { parse } from "graphql";

const value = (v) => {
  switch (v.kind) {
    case "Variable": return ["$", v.name.value];
    case "IntValue": case "FloatValue": return ["n", v.value];
    case "StringValue": return ["s", v.block ? v.value.replace(/[ \t\r\n]+/g, "") : v.value];
    case "BooleanValue": return ["b", String(v.value)];
    case "NullValue": return ["0"];
    case "EnumValue": return ["e", v.value];
    case "ListValue": return ["l", ...v.values.map(value)];
    case "ObjectValue": return ["o", ...v.fields.map((f) => [f.name.value, value(f.value)])];
  }
};
const args = (all = []) => all.map((a) => [a.name.value, value(a.value)]);
const directives = (all = []) => all.map((d) => [d.name.value, args(d.arguments)]);
const type = (t) => t.kind === "NonNullType" ? type(t.type) + "!" : t.kind === "ListType" ? "[" + type(t.type) + "]" : t.name.value;
const selections = (set) => (set?.selections ?? []).map((s) => {
  switch (s.kind) {
    case "Field": return ["f", s.alias?.value ?? s.name.value, s.name.value, args(s.arguments), directives(s.directives), selections(s.selectionSet)];
    case "FragmentSpread": return ["...", s.name.value, directives(s.directives)];
    case "InlineFragment": return ["on", s.typeCondition?.name.value ?? "", directives(s.directives), selections(s.selectionSet)];
  }
});
const definition = (d) => {
  switch (d.kind) {
    case "OperationDefinition":
      return [d.operation, d.name?.value ?? "", (d.variableDefinitions ?? []).map((v) => [v.variable.name.value, type(v.type), v.defaultValue ? value(v.defaultValue) : ["-"], directives(v.directives)]), directives(d.directives), selections(d.selectionSet)];
    case "FragmentDefinition":
      return ["fragment", d.name.value, d.typeCondition.name.value, directives(d.directives), selections(d.selectionSet)];
    default:
      throw new Error("no executable definition");
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  let out = null;
  try {
    const all = parse(JSON.parse(line), { noLocation: true }).definitions.map(definition);
    out = [all.filter((d) => d[0] !== "fragment"), all.filter((d) => d[0] === "fragment")];
  } catch { /* no document */ }
  console.log(JSON.stringify(out));
}
