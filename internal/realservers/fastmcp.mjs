// fastmcp as FastMCP in fastmcp.go describes it. It is read from standard input by
// node, in the folder with node_modules.
import { FastMCP, OAuthProvider } from 'fastmcp';

const config = JSON.parse(process.env.FASTMCP_CONFIG);

const server = new FastMCP({
  name: 'real',
  version: '1.0.0',
  auth: new OAuthProvider({
    baseUrl: config.baseUrl,
    allowedRedirectUriPatterns: ['http://127.0.0.1:*'],
    consentRequired: false, // else a page with a button
    scopes: ['mcp:read'],
    authorizationEndpoint: config.authorizationEndpoint,
    tokenEndpoint: config.tokenEndpoint,
    clientId: config.clientID,
    clientSecret: config.clientSecret,
  }),
});
server.addTool({ name: 'read', description: 'reads', execute: async () => 'read' });
await server.start({
  transportType: 'httpStream',
  httpStream: { host: '127.0.0.1', port: Number(new URL(config.baseUrl).port), endpoint: '/mcp' },
});
