// What the server says of what a person wrote, in the language of the page.
export const said = (texts, sentence) => texts[`said.${sentence.toLowerCase().match(/[a-z0-9]+/g)?.join("_")}`] ?? sentence;
