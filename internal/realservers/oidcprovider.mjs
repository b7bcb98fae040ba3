// oidc-provider as OIDCProvider in oidcprovider.go describes it. It is read
// from standard input by node, in the folder with node_modules.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider, errors } from 'oidc-provider';

const config = JSON.parse(process.env.OIDC_CONFIG);

const provider = new Provider(config.issuer, {
  clients: config.clients,
  rotateRefreshToken: true, // a spent one that comes back ends the whole grant
  features: {
    devInteractions: { enabled: true }, // its own login and consent pages
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    dPoP: {
      enabled: true,
      nonceSecret: randomBytes(32),
      requireNonce: () => config.requireNonce,
    },
    introspection: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, indicator) {
        if (indicator !== config.resource) throw new errors.InvalidTarget();
        return {
          scope: config.scope,
          audience: indicator,
          accessTokenFormat: 'opaque', // only those can be introspected
          accessTokenTTL: config.tokenTTL,
        };
      },
    },
  },
});

const events = {};
const count = (name) => { events[name] = (events[name] ?? 0) + 1; };
for (const name of [
  'access_token.saved', 'refresh_token.saved', 'refresh_token.consumed', 'grant.revoked', 'registration_create.success',
  'pushed_authorization_request.success',
]) provider.on(name, () => count(name));
for (const name of [
  'authorization.error', 'device_authorization.error', 'grant.error', 'introspection.error',
  'pushed_authorization_request.error', 'registration_create.error', 'revocation.error', 'server_error',
]) {
  provider.on(name, (ctx, err) => {
    count(`${name} ${err.error ?? err.name}`);
    console.log(name, err.error, err.error_description, err.error_detail ?? '');
    if (name === 'server_error') console.log(err);
  });
}

const handle = provider.callback();
createServer((req, res) => {
  if (req.url === '/test/events') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(events));
    return;
  }
  handle(req, res);
}).listen(new URL(config.issuer).port, '127.0.0.1');
