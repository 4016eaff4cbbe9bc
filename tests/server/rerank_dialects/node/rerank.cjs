// Asks a server with Cohere's client for Node and prints what comes back as JSON.
const { CohereClient, CohereClientV2 } = require("cohere-ai");
const { url, key, version, method, request } = JSON.parse(process.argv[2]);

const Client = version === 2 ? CohereClientV2 : CohereClient;
const client = new Client({ token: key, baseUrl: url, maxRetries: 0 });

client[method](request, { maxRetries: 0 }).then(
  (found) => console.log(JSON.stringify({ found })),
  (error) => {
    const { statusCode: status, body } = error;
    console.log(JSON.stringify({ error: { name: error.constructor.name, status, body } }));
  },
);
