package authtest

// Cognito is a user pool of Amazon Cognito in front of your own MCP server.
//
//   - The metadata are at the issuer; the endpoints are at the domain of the pool.
//     https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html
//   - There is openid-configuration only. https://github.com/empires-security/mcp-oauth2-aws-cognito/issues/9
//   - PKCE works and is not listed. https://github.com/anthropics/claude-code/issues/13275
//   - No registration on demand, and no resource indicators. https://zuplo.com/learn/mcp/compatibility/identity-providers
//   - Callback URLs have to be registered, with their port; loopback addresses are allowed.
//     https://github.com/awsdocs/amazon-cognito-developer-guide/blob/main/doc_source/authorization-endpoint.md,
//     https://github.com/cliftonai/clifton-mcp/pull/1, https://github.com/microsoft/vscode/issues/256122
//   - Refresh tokens stay the same, unless the app client says otherwise, and a refresh's answer has none.
//     https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-refresh-token.html
//   - Token answers have no scope. https://github.com/awsdocs/amazon-cognito-developer-guide/blob/main/doc_source/token-endpoint.md
//   - Only refresh tokens can be revoked: else unsupported_token_type.
//     https://github.com/awsdocs/amazon-cognito-developer-guide/blob/main/doc_source/revocation-endpoint.md
//   - The scopes of an API have its identifier in front.
//     https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_cognito.CfnUserPoolResourceServer.ResourceServerScopeTypeProperty.html
func Cognito() Profile {
	const pool, domain = "/eu-west-1_EXAMPLE", "https://example.auth.eu-west-1.amazoncognito.com"
	return Profile{
		Name: "Amazon Cognito", ClientID: "3n4b5urk1ft4fl3mg5e62d9ado", RedirectURIs: []string{"http://127.0.0.1:8765/callback"},
		Server: Config{
			URL: "https://cognito-idp.eu-west-1.amazonaws.com", IssuerPath: pool, MetadataAt: []string{pool + wellKnownOIDC},
			Endpoints: map[Endpoint]string{
				AuthorizeEndpoint: domain + "/oauth2/authorize", TokenEndpoint: domain + "/oauth2/token", RevocationEndpoint: domain + "/oauth2/revoke",
			},
			NoRegistration: true, NoIssParameter: true, NoRotation: true, OmitScope: true, ResourceParameter: "none",
			ExactRedirectURIs: true, KeepAccessTokens: true,
			Metadata: func(doc map[string]any) {
				lists(doc, "revocation_endpoint")
				doc["scopes_supported"] = []string{"openid", "email", "phone", "profile"}
				doc["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "client_secret_post"}
			},
		},
		Resource: Protection{
			URL: "https://mcp.example.com", AllowUnbound: true,
			Scopes: []string{"notes/read"}, ToolScopes: map[string][]string{"write": {"notes/write"}},
		},
	}
}
