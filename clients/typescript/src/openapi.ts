// Written by scripts/openapi.mjs from docs/reference/openapi.json.

export interface paths {
    "/api/v1/indexes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Indexes
         * @description List the indexes.
         */
        get: operations["list_indexes_api_v1_indexes_get"];
        put?: never;
        /**
         * Create Index
         * @description Create an index.
         */
        post: operations["create_index_api_v1_indexes_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Index
         * @description Return one index.
         */
        get: operations["get_index_api_v1_indexes__name__get"];
        put?: never;
        post?: never;
        /**
         * Delete Index
         * @description Delete an index with everything in it.
         */
        delete: operations["delete_index_api_v1_indexes__name__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/answer": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Answer
         * @description Answer a question from what a search finds, with citations.
         */
        post: operations["answer_api_v1_indexes__name__answer_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/documents": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add Documents
         * @description Store documents; they can be searched as soon as the response has come.
         */
        post: operations["add_documents_api_v1_indexes__name__documents_post"];
        /**
         * Delete Documents
         * @description Delete documents by id; the parameter `id` may be repeated.
         */
        delete: operations["delete_documents_api_v1_indexes__name__documents_delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/search": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Search
         * @description Find documents in two passes.
         */
        post: operations["search_api_v1_indexes__name__search_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Models
         * @description List the models.
         */
        get: operations["models_api_v1_models_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rerank": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rerank
         * @description Put documents in the order of their relevance to the query.
         */
        post: operations["rerank_api_v1_rerank_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * AnswerBody
         * @description A question, and how much may be read to answer it.
         *
         *     `passages` are read, `context_tokens` of them in all. Where none is relevant with
         *     `min_probability`, the answer is that there is none; null turns that check off. `context`
         *     "spans" sends the language model only the sentences that answer. `rewrite` lets the
         *     language model, where the server has one, first turn the question into a query. `stream`
         *     sends the answer as it is written, as server-sent events: `passages` (a list of `Cited`,
         *     without spans), `text` (an object with a piece of the text) as often as there are pieces,
         *     then `answer` (a `FullAnswer`), or `error` (a `Failure`). The other fields are those of a
         *     search.
         */
        AnswerBody: {
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Context
             * @default passages
             * @enum {string}
             */
            context?: "passages" | "spans";
            /**
             * Context Tokens
             * @default 1500
             */
            context_tokens?: number;
            /**
             * Diversity
             * @description Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).
             */
            diversity?: number | null;
            /**
             * Group By
             * @description Return few results of one document ("document"), or of one value of this field.
             */
            group_by?: string | null;
            /**
             * Group Size
             * @description Results of one group, with group_by.
             * @default 1
             */
            group_size?: number;
            /**
             * Hide
             * @description Ids of documents and passages that are not returned.
             * @default []
             */
            hide?: string[];
            /**
             * Max Tokens
             * @default 500
             */
            max_tokens?: number;
            /**
             * Min Probability
             * @default 0.03
             */
            min_probability?: number | null;
            /**
             * Passages
             * @default 5
             */
            passages?: number;
            /**
             * Pin
             * @description Ids of documents and passages that come first, found or not.
             * @default []
             */
            pin?: string[];
            /** Query */
            query: string;
            /**
             * Rewrite
             * @default false
             */
            rewrite?: boolean;
            /**
             * Stream
             * @default false
             */
            stream?: boolean;
        };
        /**
         * Cited
         * @description A passage that the answer could cite by its number, and which of its sentences answer.
         */
        Cited: {
            /** Ids */
            ids: string[];
            /** Number */
            number: number;
            /** Probability */
            probability: number | null;
            /** Spans */
            spans: components["schemas"]["SpanBody"][];
            /** Text */
            text: string;
            /** Title */
            title: string | null;
        };
        /**
         * Deleted
         * @description How many documents were deleted.
         */
        Deleted: {
            /** Deleted */
            deleted: number;
        };
        /**
         * DocumentBody
         * @description A text with an optional id, title and metadata, on which searches can filter.
         *
         *     An id has at most 2,000 characters.
         */
        DocumentBody: {
            /** Id */
            id?: string | null;
            /** Metadata */
            metadata?: {
                [key: string]: unknown;
            };
            /** Text */
            text: string;
            /** Title */
            title?: string | null;
        };
        /**
         * DocumentsBody
         * @description Documents to store; existing documents with the same ids are replaced.
         */
        DocumentsBody: {
            /** Documents */
            documents: components["schemas"]["DocumentBody"][];
        };
        /**
         * Failure
         * @description Why a request failed: a short name, a sentence, and the request's id.
         *
         *     `what`, `where`, `why` and `fix` are the parts of the sentence: what failed, in which
         *     place, why, and what to do next. Where the parts are not known, `what` is the sentence.
         */
        Failure: {
            /** Error */
            error: string;
            /** Fix */
            fix?: string | null;
            /** Id */
            id: string;
            /** Message */
            message: string;
            /** What */
            what: string;
            /** Where */
            where?: string | null;
            /** Why */
            why?: string | null;
        };
        /**
         * FirstStage
         * @description Where a document stood before the second pass: `rank` from 1, and by which scores.
         */
        FirstStage: {
            /** Bm25 */
            bm25: number | null;
            /** Rank */
            rank: number;
            /** Score */
            score: number | null;
            /** Vector */
            vector: number | null;
        };
        /**
         * FullAnswer
         * @description An answer with numbers of passages in brackets.
         *
         *     `status` is "generated" by a language model, "extractive" (sentences of the passages as
         *     they stand) or "not_found"; `reason` says why, or what went wrong.
         */
        FullAnswer: {
            /** Id */
            id: string;
            /** Model */
            model: string | null;
            /** Passages */
            passages: components["schemas"]["Cited"][];
            /** Query */
            query: string;
            /** Reason */
            reason: string | null;
            /** Status */
            status: string;
            /** Text */
            text: string;
            /** Timings */
            timings: {
                [key: string]: number;
            };
        };
        /**
         * IndexAbout
         * @description An index: its name, and how many documents it has.
         */
        IndexAbout: {
            /** Documents */
            documents: number;
            /** Name */
            name: string;
        };
        /**
         * IndexBody
         * @description A new index.
         *
         *     `language` is that of stemming; documents longer than `chunk_tokens` are split into
         *     passages that share `overlap` tokens, null keeps them whole. Both are at most 100,000.
         */
        IndexBody: {
            /**
             * Chunk Tokens
             * @default 256
             */
            chunk_tokens?: number | null;
            /**
             * Language
             * @default english
             */
            language?: string;
            /** Name */
            name: string;
            /**
             * Overlap
             * @default 32
             */
            overlap?: number;
        };
        /**
         * IndexList
         * @description The indexes of the caller's tenant, except those that other dialects created.
         */
        IndexList: {
            /** Indexes */
            indexes: components["schemas"]["IndexAbout"][];
        };
        /**
         * ModelList
         * @description The names of the models that are served, the default first.
         */
        ModelList: {
            /** Models */
            models: string[];
        };
        /**
         * Ranking
         * @description The results, best first, and how they came about.
         *
         *     `status` is "reranked", "partially_reranked", "fallback" or "skipped", and `reason` why;
         *     `query_unread` counts characters of the query that were not read; `warnings` says in
         *     sentences what was not read of the query and of the documents, those without a place in
         *     `results` included; `timings` is in milliseconds.
         */
        Ranking: {
            /** Id */
            id: string;
            /** Model */
            model: string | null;
            /** Query */
            query: string;
            /** Query Unread */
            query_unread: number;
            /** Reason */
            reason: string | null;
            /** Results */
            results: components["schemas"]["Result"][];
            /** Status */
            status: string;
            /** Timings */
            timings: {
                [key: string]: number;
            };
            /** Warnings */
            warnings: string[];
        };
        /**
         * RerankBody
         * @description A query and documents to put in order: the options of `Reranker.rerank`.
         */
        RerankBody: {
            /**
             * Budget Tokens
             * @description Tokens of documents that a local model reads for one query.
             * @default 65536
             */
            budget_tokens?: number;
            /** Documents */
            documents: (string | components["schemas"]["DocumentBody"])[];
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Instructions
             * @description What the model should prefer, as in "prefer recent and internal documents".
             */
            instructions?: string | null;
            /**
             * Max Length
             * @description Maximum tokens of a window, query included.
             */
            max_length?: number | null;
            /**
             * Max Query Tokens
             * @description Tokens of the query, from its two ends, that are read at most.
             */
            max_query_tokens?: number | null;
            /**
             * Max Tokens Per Doc
             * @description Tokens of a document, from its beginning, that are read at most.
             */
            max_tokens_per_doc?: number | null;
            /**
             * Min Probability
             * @description Drop results with a lower probability of relevance, 0 to 1.
             */
            min_probability?: number | null;
            /**
             * Min Score
             * @description Drop results with a lower score.
             */
            min_score?: number | null;
            /**
             * Model
             * @description Name of a model that is served; the default model for null.
             */
            model?: string | null;
            /**
             * On Unsupported
             * @description If the model cannot follow instructions: raise an error, or ignore them.
             * @default raise
             * @enum {string}
             */
            on_unsupported?: "raise" | "ignore";
            /**
             * Passages
             * @description How window scores of a document combine: max, mean, first or top-N-mean.
             */
            passages?: string | null;
            /** Query */
            query: string;
            /**
             * Return Documents
             * @description Whether results include their documents.
             * @default false
             */
            return_documents?: boolean;
            /**
             * Spans
             * @description Whether results have the sentences that answer, or threshold, max_spans and unit of those.
             * @default false
             */
            spans?: boolean | {
                max_spans?: number;
                threshold?: number;
                /** @enum {string} */
                unit?: "sentence";
            };
            /**
             * Template
             * @description Template that turns fields into text, as in "{title} ({year}): {text}".
             */
            template?: string | null;
            /**
             * Top K
             * @description Number of results to return.
             */
            top_k?: number | null;
            /**
             * Truncate
             * @description Whether to read a part of texts that are too long, or refuse them.
             * @default true
             */
            truncate?: boolean;
        };
        /**
         * Result
         * @description A document, its rank and its scores.
         *
         *     `index` is the position in the request's list; `score` is what the results are
         *     ordered by, and `score_kind` says how to read it: "logit", "probability", "similarity",
         *     or "rank", of which only the order within one response means anything. A passage of a
         *     longer document has that document's id as `document_id` and its number there as `chunk`,
         *     from 1; else they are `id` and 0. `probability` is
         *     the chance of relevance. `unread` counts characters that the model did not read; `parts`
         *     is what each stage added to the score. `spans` are the sentences that answer, best first,
         *     where the request asked for them; `best_window` is [start, end) of the window with the
         *     highest score in the document's text, null where that is not known.
         */
        Result: {
            /** Best Window */
            best_window: number[] | null;
            /** Chunk */
            chunk: number;
            document: components["schemas"]["DocumentBody"] | null;
            /** Document Id */
            document_id: string | null;
            first_stage: components["schemas"]["FirstStage"];
            /** Id */
            id: string | null;
            /** Index */
            index: number;
            /** Parts */
            parts: {
                [key: string]: number;
            };
            /** Probability */
            probability: number | null;
            /** Rank */
            rank: number;
            /** Score */
            score: number;
            /** Score Kind */
            score_kind: string;
            /** Scored */
            scored: boolean;
            /** Spans */
            spans: components["schemas"]["SpanBody"][];
            /** Unread */
            unread: number;
        };
        /**
         * SearchBody
         * @description A query, and how to search for it: the options of `Index.search`.
         */
        SearchBody: {
            /**
             * Adaptive
             * @description Read neighbors of the best documents instead of the last candidates.
             * @default false
             */
            adaptive?: boolean;
            /**
             * Blend
             * @description Whether to blend first-stage scores in, or the weights of rerank, vector and bm25.
             * @default true
             */
            blend?: boolean | {
                [key: string]: number;
            };
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Budget Ms
             * @description Milliseconds for reranking; candidates beyond it are left unscored.
             */
            budget_ms?: number | null;
            /**
             * Budget Tokens
             * @description Tokens of documents that a local model reads for one query.
             * @default 65536
             */
            budget_tokens?: number;
            /**
             * Candidates
             * @description Number of first-stage candidates.
             * @default 50
             */
            candidates?: number;
            /**
             * Cascade
             * @description Let bundled-tiny rule out weak candidates before the reranker scores the rest.
             * @default false
             */
            cascade?: boolean;
            /**
             * Diversity
             * @description Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).
             */
            diversity?: number | null;
            /**
             * Feedback
             * @description Search again for words and vectors of so many of the best documents, once half of the candidates are read.
             */
            feedback?: number | null;
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Filter
             * @description SQL condition on metadata, as in "year >= 2015".
             */
            filter?: string | null;
            /**
             * Fusion
             * @description How hybrid search merges its rankings: rrf, weighted, weighted-z-score, dbsf.
             * @default rrf
             * @enum {string}
             */
            fusion?: "rrf" | "weighted" | "weighted-z-score" | "dbsf";
            /**
             * Group By
             * @description Return few results of one document ("document"), or of one value of this field.
             */
            group_by?: string | null;
            /**
             * Group Size
             * @description Results of one group, with group_by.
             * @default 1
             */
            group_size?: number;
            /**
             * Hide
             * @description Ids of documents and passages that are not returned.
             * @default []
             */
            hide?: string[];
            /**
             * Instructions
             * @description What the model should prefer, as in "prefer recent and internal documents".
             */
            instructions?: string | null;
            /**
             * Like
             * @description Ids of documents that results should be like.
             * @default []
             */
            like?: string[];
            /**
             * Max Length
             * @description Maximum tokens of a window, query included.
             */
            max_length?: number | null;
            /**
             * Max Query Tokens
             * @description Tokens of the query, from its two ends, that are read at most.
             */
            max_query_tokens?: number | null;
            /**
             * Max Tokens Per Doc
             * @description Tokens of a document, from its beginning, that are read at most.
             */
            max_tokens_per_doc?: number | null;
            /**
             * Min Probability
             * @description Drop results with a lower probability of relevance, 0 to 1.
             */
            min_probability?: number | null;
            /**
             * Min Score
             * @description Drop results with a lower score.
             */
            min_score?: number | null;
            /**
             * Mode
             * @description First-stage search: hybrid, bm25 or vector.
             * @default hybrid
             * @enum {string}
             */
            mode?: "hybrid" | "bm25" | "vector";
            /**
             * On Failure
             * @description If reranking fails: raise an error, or fallback to first-stage order.
             * @default raise
             * @enum {string}
             */
            on_failure?: "raise" | "fallback";
            /**
             * On Unsupported
             * @description If the model cannot follow instructions: raise an error, or ignore them.
             * @default raise
             * @enum {string}
             */
            on_unsupported?: "raise" | "ignore";
            /**
             * Passages
             * @description How window scores of a document combine: max, mean, first or top-N-mean.
             */
            passages?: string | null;
            /**
             * Pin
             * @description Ids of documents and passages that come first, found or not.
             * @default []
             */
            pin?: string[];
            /** Query */
            query: string;
            /**
             * Query Variants
             * @description Other wordings of the query, whose first stages are fused with its own.
             * @default []
             */
            query_variants?: string[];
            /**
             * Rerank
             * @description Whether to rerank, or the name of the reranker.
             * @default true
             */
            rerank?: boolean | string;
            /**
             * Return Documents
             * @description Whether results include their documents.
             * @default true
             */
            return_documents?: boolean;
            /**
             * Spans
             * @description Whether results have the sentences that answer, or threshold, max_spans and unit of those.
             * @default false
             */
            spans?: boolean | {
                max_spans?: number;
                threshold?: number;
                /** @enum {string} */
                unit?: "sentence";
            };
            /**
             * Template
             * @description Template that turns fields into text, as in "{title} ({year}): {text}".
             */
            template?: string | null;
            /**
             * Timeout
             * @description Seconds allowed for each model; for a provider 30 if absent.
             */
            timeout?: number | null;
            /**
             * Top K
             * @description Number of results to return.
             * @default 5
             */
            top_k?: number;
            /**
             * Truncate
             * @description Whether to read a part of texts that are too long, or refuse them.
             * @default true
             */
            truncate?: boolean;
            /**
             * Unlike
             * @description Ids of documents that results should not be like; they are left out.
             * @default []
             */
            unlike?: string[];
            /**
             * Variant Scores
             * @description Read candidates with the first query, or with all, the best score counting: max.
             * @default first
             * @enum {string}
             */
            variant_scores?: "first" | "max";
            /**
             * Version
             * @description Search an earlier version of the index.
             */
            version?: number | null;
            /**
             * Weights
             * @description Fusion weights of BM25 and vector search, two numbers.
             */
            weights?: number[] | null;
        };
        /**
         * SpanBody
         * @description A sentence: [start, end) in the document's text, in Unicode code points.
         *
         *     `score` is its log-odds; `probability` is the chance that it answers, if a sentence of
         *     this document does.
         */
        SpanBody: {
            /** End */
            end: number;
            /** Probability */
            probability: number;
            /** Score */
            score: number;
            /** Start */
            start: number;
        };
        /**
         * Stored
         * @description How many documents were stored: `empty` ones have no text and are not stored.
         */
        Stored: {
            /** Added */
            added: number;
            /** Empty */
            empty: number;
            /** Passages */
            passages: number;
            /** Unchanged */
            unchanged: number;
            /** Updated */
            updated: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    list_indexes_api_v1_indexes_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    create_index_api_v1_indexes_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["IndexBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    get_index_api_v1_indexes__name__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    delete_index_api_v1_indexes__name__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    answer_api_v1_indexes__name__answer_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AnswerBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FullAnswer"];
                    "text/event-stream": string;
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    add_documents_api_v1_indexes__name__documents_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["DocumentsBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Stored"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    delete_documents_api_v1_indexes__name__documents_delete: {
        parameters: {
            query: {
                id: string[];
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deleted"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    search_api_v1_indexes__name__search_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SearchBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ranking"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    models_api_v1_models_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ModelList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    rerank_api_v1_rerank_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RerankBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ranking"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
}
