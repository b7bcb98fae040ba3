// better-auth as BetterAuth in betterauth.go describes it. It is read from standard
// input by node, in the folder with node_modules.
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { oauthProvider, oauthProviderAuthServerMetadata } from '@better-auth/oauth-provider';
import { oauthProviderResourceClient } from '@better-auth/oauth-provider/resource-client';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { jwt } from 'better-auth/plugins';

const { origin, tools } = JSON.parse(process.env.BETTER_AUTH_CONFIG);
const resource = `${origin}/mcp`;
const issuer = `${origin}/api/auth`;
const scopes = [...new Set(Object.values(tools))];
const user = { name: 'Alice', email: 'alice@example.com', password: 'only in memory' };

const tables = [
  'user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthRefreshToken', 'oauthAccessToken',
  'oauthConsent', 'oauthResource', 'oauthClientResource', 'oauthClientAssertion',
];
const auth = betterAuth({
  baseURL: origin,
  secret: 'only in the memory of this test, and long enough',
  database: memoryAdapter(Object.fromEntries(tables.map((name) => [name, []]))),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [jwt(), oauthProvider({
    loginPage: '/login',
    consentPage: '/consent',
    scopes: ['openid', 'offline_access', ...scopes],
    allowDynamicClientRegistration: true,
    allowUnauthenticatedClientRegistration: true,
    resources: [resource],
    clientRegistrationDefaultResources: [resource],
  })],
});
await auth.api.signUpEmail({ body: user });
const protectedBy = oauthProviderResourceClient(auth).getActions();

// What a person does on a page, which ends with a redirect.
async function act(req, path, body) {
  const url = new URL(req.url, origin);
  const answer = await auth.handler(new Request(`${origin}/api/auth${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin, cookie: req.headers.cookie ?? '' },
    body: JSON.stringify({ ...body, oauth_query: url.search.slice(1) }),
  }));
  const said = await answer.json();
  const location = said.url ?? said.redirect_uri;
  if (!answer.ok || !location) throw new Error(`${path}: ${answer.status} ${JSON.stringify(said)}`);
  return new Response(null, { status: 302, headers: [['location', location], ...answer.headers.getSetCookie().map((c) => ['set-cookie', c])] });
}

async function handle(req) {
  const { pathname } = new URL(req.url, origin);
  switch (pathname) {
    case '/login': return act(req, '/sign-in/email', { email: user.email, password: user.password });
    case '/consent': return act(req, '/oauth2/consent', { accept: true });
    case '/.well-known/oauth-authorization-server/api/auth':
    case '/.well-known/oauth-authorization-server':
      return oauthProviderAuthServerMetadata(auth)(webRequest(req));
    case '/.well-known/oauth-protected-resource/mcp':
      return Response.json(await protectedBy.getProtectedResourceMetadata({ resource, scopes_supported: ['mcp:read', 'mcp:write'] }));
  }
  if (pathname.startsWith('/api/auth/')) return auth.handler(webRequest(req));
  return new Response('not found', { status: 404 });
}

function webRequest(req) {
  const body = req.method === 'GET' || req.method === 'HEAD' ? undefined : Readable.toWeb(req);
  const headers = Object.entries(req.headers).map(([name, value]) => [name, String(value)]);
  return new Request(new URL(req.url, origin), { method: req.method, headers, body, duplex: 'half' });
}

// One server for each request: there are no sessions.
async function mcp(req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const message = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
  await protectedBy.verifyAccessTokenRequest(
    new Request(resource, { method: req.method, headers: req.headers.authorization ? { authorization: req.headers.authorization } : {} }),
    { jwksUrl: `${issuer}/jwks`, verifyOptions: { issuer, audience: resource }, requiredScopes: [tools[message?.params?.name] ?? 'mcp:read'] },
  );
  if (req.method !== 'POST') return res.writeHead(405).end();
  const server = new McpServer({ name: 'real', version: '1.0.0' });
  for (const name of Object.keys(tools)) {
    server.registerTool(name, {}, async () => ({ content: [{ type: 'text', text: name }] }));
  }
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  res.on('close', () => { void server.close(); });
  await server.connect(transport);
  await transport.handleRequest(req, res, message);
}

createServer(async (req, res) => {
  try {
    if (new URL(req.url, origin).pathname === '/mcp') return await mcp(req, res);
    const answer = await handle(req);
    res.statusCode = answer.status;
    for (const [name, value] of answer.headers) if (name !== 'set-cookie') res.setHeader(name, value);
    const cookies = answer.headers.getSetCookie();
    if (cookies.length) res.setHeader('set-cookie', cookies);
    res.end(Buffer.from(await answer.arrayBuffer()));
    if (answer.status >= 400) console.log(req.method, req.url, answer.status);
  } catch (err) { // an APIError of better-auth's says how to answer
    if (!err.statusCode) console.log(req.method, req.url, err);
    const challenge = new Headers(err.headers ?? {}).get('www-authenticate');
    console.log(req.method, req.url, err.statusCode, challenge);
    res.writeHead(err.statusCode ?? 500, challenge ? { 'www-authenticate': challenge } : {}).end(String(err.message));
  }
}).listen(new URL(origin).port, '127.0.0.1');
