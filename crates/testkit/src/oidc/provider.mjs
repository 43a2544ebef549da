// An OpenID Connect provider (npm `oidc-provider`) for tests: it says where it listens, obeys a line of its input with a line of its
// output, and ends with its input. Arguments: the folder that the package is installed in.
//
// Clients get tokens for `aud` `berth` with the resource `urn:berth:ALGORITHM`, which is signed with that algorithm.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.argv[2]}/package.json`);
const installed = async (name, file) => import(pathToFileURL(`${process.argv[2]}/node_modules/${name}/${file}`));
const { Provider } = await installed('oidc-provider', require(`${process.argv[2]}/node_modules/oidc-provider/package.json`).main ?? 'lib/index.js');
const { exportJWK, generateKeyPair } = await import(pathToFileURL(require.resolve('jose')));

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];
let generation = 0;
async function generate() {
  generation += 1;
  return Promise.all(ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true, crv: alg === 'EdDSA' ? 'Ed25519' : undefined });
    return { ...(await exportJWK(privateKey)), kid: `${alg}-${generation}`, alg, use: 'sig' };
  }));
}

let handler = (_, response) => response.writeHead(503).end();
let away = false;
const asked = { configuration: 0, keys: 0 };
const server = createServer((request, response) => {
  if (away) {
    request.socket.destroy();
    return;
  }
  if (request.url.startsWith('/.well-known/')) asked.configuration += 1;
  if (request.url.startsWith('/jwks')) asked.keys += 1;
  handler(request, response);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  token_endpoint_auth_method: 'client_secret_post',
});
let keys = [];
function provide() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [client('ada'), client('bob')],
    scopes: [],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => {
          const [, audience, alg] = resource.split(':');
          return { scope: '', audience, accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg } } };
        },
      },
    },
  });
  handler = provider.callback();
}

keys = await generate();
provide();
console.log(issuer);

for await (const order of createInterface({ input: process.stdin })) {
  // The new keys come first: they are what is signed with from now on.
  if (order === 'rotate') keys = [...(await generate()), ...keys];
  if (order === 'withdraw') keys = keys.slice(0, ALGORITHMS.length);
  if (order === 'rotate' || order === 'withdraw') provide();
  if (order === 'away' || order === 'back') away = order === 'away';
  console.log(order === 'asked' ? JSON.stringify(asked) : order);
}
process.exit(0);
