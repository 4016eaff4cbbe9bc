// The values of the server's native interface, by their names in its reference.

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type AnswerBody = Schemas["AnswerBody"];
export type AnswerPassage = Schemas["Cited"];
export type Deleted = Schemas["Deleted"];
export type DocumentBody = Schemas["DocumentBody"];
export type Failure = Schemas["Failure"];
export type FirstStage = Schemas["FirstStage"];
export type FullAnswer = Schemas["FullAnswer"];
export type IndexAbout = Schemas["IndexAbout"];
export type IndexBody = Schemas["IndexBody"];
export type Ranking = Schemas["Ranking"];
export type RerankBody = Schemas["RerankBody"];
export type Result = Schemas["Result"];
export type SearchBody = Schemas["SearchBody"];
export type SpanBody = Schemas["SpanBody"];
export type Stored = Schemas["Stored"];

/** What a streamed answer consists of, in this order; `text` comes as often as there is some. */
export type AnswerEvent =
  | { type: "passages"; passages: AnswerPassage[] }
  | { type: "text"; text: string }
  | { type: "answer"; answer: FullAnswer };
