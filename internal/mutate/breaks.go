package main

// promise is a threat of SECURITY.md, in its words, or "invariant N" of
// docs/architecture.md, and the ways to break what is promised.
type promise struct {
	text   string
	breaks []edit
}

// mutations are all breaks of promises.
var mutations = func() (all []mutation) {
	for _, p := range promises {
		for _, e := range p.breaks {
			all = append(all, mutation{p.text, e})
		}
	}
	return all
}()

// The fields of a break are: name, file, old, new, tests.
var promises = []promise{
	// Tokens and where they go

	{`a redirect, or a request to another host, takes the token along`, []edit{
		{"a token goes to every host", "transport/transport.go", `return httpx.SameOrigin(req.URL, home)`, `return httpx.SameOrigin(home, home)`, "transport.TestOrigin"},
		{"a redirect is a first request", "transport/transport.go", `first = first.Response.Request`, `break`, "transport.TestFirstOriginStands"},
		{"the last origin counts, not the first", "transport/transport.go", `t.first.CompareAndSwap(nil, first.URL)`, `t.first.Store(first.URL)`, "transport.TestFirstOriginStands"},
		{"requests with credentials follow redirects", "internal/httpx/redirect.go", `{ return http.ErrUseLastResponse }`, `{ return nil }`, "internal/httpx.TestNoRedirect"},
		{"a token request follows redirects", "auth/endpoint.go", `x.client = *httpx.NoRedirect(hc)`, `x.client = *hc`, "auth.TestTokenEndpointDoesNotRedirect"},
		{"the guarded poster follows redirects", "auth/internal/finder/client.go", `return httpx.NoRedirect(f.Client(resource))`, `return f.Client(resource)`, "auth/internal/finder.TestGuardedPosterFollowsNoRedirect"},
		{"registration follows redirects", "auth/registration/post.go", `httpx.NoRedirect(r.HTTPClient).Do(req)`, `httpx.SameOriginRedirect(r.HTTPClient).Do(req)`, "auth/registration.TestRegisterErrors"},
	}},
	{`a token for one server is shown to another`, []edit{
		{"the exchange names no resource", "auth/flow.go", `form.Set("resource", f.Resource)`, `_ = f.Resource`, "auth.TestResourceIndicator"},
		{"the refresh names no resource", "auth/spend.go", `form.Set("resource", indicator)`, `_ = indicator`, "auth.TestRefreshRequest"},
		{"metadata for another host count", "auth/discovery/resource.go", `if !httpx.SameOrigin(r, s) || `, `if `, "auth/discovery.TestMatchResource"},
		{"metadata for a name that begins alike count", "auth/discovery/resource.go", `strings.HasPrefix(path, parent+"/")`, `strings.HasPrefix(path, parent)`, "auth/discovery.TestMatchResource"},
		{"any place may speak for a parent", "auth/discovery/protected.go", `case !parents && !sameResource(doc.Resource, server):`, `case false:`, "auth/discovery.TestProtectedResource"},
	}},
	{`one user gets another's token`, []edit{
		{"the store's key has no subject", "auth/vault.go", `Subject: v.subject}`, `Subject: ""}`, "auth.TestSubjectsAreApart"},
		{"a pool has one manager for all users", "auth/pool.go", `key: poolKey{subject, resource}`, `key: poolKey{"", resource}`, "auth.TestPoolHasOneManagerForEachKey"},
		{"the key's ID leaves the subject out", "auth/key.go", `k.ClientID, k.Subject}`, `k.ClientID, ""}`, "auth.TestKeyID"},
		{"the parts of a key's ID run together", "auth/key.go", `"%d:%s", len(s), s)`, `"%s", s)`, "auth.TestKeyID"},
	}},
	{`a token that is dead, rejected or revoked is handed out`, []edit{
		{"the snapshot has no end", "auth/manager.go", `time.Now().UnixNano() < s.until`, `s.until != 0`, "auth.TestExpiryIsDecidedWhenAsked"},
		{"the machine does not look at the expiry", "auth/internal/lifecycle/machine.go", `nanos(now) < m.token.expiry)`, `true)`, "auth/internal/lifecycle.TestLife"},
		{"a late rejection counts against the successor", "auth/internal/lifecycle/next.go", `ours := n.Token != 0 && n.Token == m.token.id`, `ours := n.Token != 0`, "auth/internal/lifecycle.TestNext"},
		{"Revoke leaves the record in the store", "auth/save.go", `delErr := v.cfg.store.Delete(context.WithoutCancel(ctx), v.key(), rec.Generation)`, `delErr := error(nil)`, "auth.TestRevoke"},
	}},
	{`header injection by a token`, []edit{
		{"an answer's token has any characters", "auth/internal/wire/token.go", `if c := t.AccessToken[i]; c <= ' ' || c >= 0x7f {`, `if c := t.AccessToken[i]; c == 0 {`, "auth/internal/wire.TestReadTokenRefuses"},
		{"SetToken takes any characters", "auth/token.go", `if s[i] <= ' ' || s[i] >= 0x7f {`, `if s[i] == 0 {`, "auth.TestSetTokenRefusesWhatIsNoToken"},
	}},

	// The login

	{`an authorization code is stolen on its way back`, []edit{
		{"PKCE with the plain method", "auth/grant/authorizationcode.go", `q.Set("code_challenge_method", "S256")`, `q.Set("code_challenge_method", "plain")`, "auth/grant.TestAuthorizationCodeRequests"},
		{"no PKCE", "auth/grant/authorizationcode.go", `q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))`, ``, "auth/grant.TestAuthorizationCodeRequests"},
		{"one verifier for all logins", "auth/grant/authorizationcode.go", `Verifier: oauth2.GenerateVerifier()`, `Verifier: strings.Repeat("v", 43)`, "auth/grant.TestAuthorizationCodeSecretsAreFresh"},
		{"servers without PKCE are used", "auth/grant/authorizationcode.go", `if !srv.SupportsPKCE() {`, `if false {`, "auth/grant.TestServerIsUnfit"},
		{"any method is support for S256", "auth/discovery/metadata.go", `return slices.Contains(a.CodeChallengeMethodsSupported, "S256")`, `return len(slices.Clone(a.CodeChallengeMethodsSupported)) > 0`, "auth/discovery.TestSupportsPKCE"},
	}},
	{`a foreign answer is injected, or one is replayed`, []edit{
		{"any state is right", "auth/browser/answer.go", `[]byte(state)) == 1`, `[]byte(state)) >= 0`, "auth/browser.TestForeignRedirectsAreRefusedAndWaitingGoesOn"},
		{"an empty state is right", "auth/browser/answer.go", `return state != "" && len(got)`, `return len(got)`, "auth/browser.TestNothingIsAcceptedBeforeVisit"},
		{"every answer counts", "auth/browser/serve.go", `case s.answered:`, `case false:`, "auth/browser.TestAnswerCountsOnce"},
		{"one state for all logins", "auth/grant/authorizationcode.go", `cmp.Or(state, rand.Text())`, `cmp.Or(state, rand.Text()[:0]+"state")`, "auth/grant.TestAuthorizationCodeSecretsAreFresh"},
		{"the headless browser takes any state", "auth/browser/headless.go", `if !carries(answer, state) {`, `if false {`, "auth/browser.TestHeadlessVisit"},
	}},
	{"a second `code`, `iss` or `error` is slipped into an answer, or something odd hides the right one", []edit{
		{"two of a parameter are taken", "auth/browser/answer.go", `if len(answer[name]) > 1 {`, `if len(answer[name]) > 2 {`, "auth/browser.TestRepeatedParametersAreRefused"},
		{"two iss are taken", "auth/browser/answer.go", `"code", "state", "iss", "error"}`, `"code", "state", "error"}`, "auth/browser.TestRepeatedParametersAreRefused"},
		{"what a browser adds becomes part of the state", "auth/browser/answer.go", `rawQuery, _, _ = strings.Cut(rawQuery, "#")`, ``, "auth/browser.FuzzReadAnswer"},
	}},
	{`a user is talked into pasting a foreign answer`, []edit{
		{"a pasted address has any state", "auth/browser/paste.go", `case answer.Has("state") && !carries(answer, state):`, `case false:`, "auth/browser.TestPasted"},
		{"a pasted code has any state behind it", "auth/browser/paste.go", `case hasState && !carries(url.Values{"state": {after}}, state):`, `case hasState && after == "":`, "auth/browser.TestPasted"},
		{"a code alone is enough where iss is sent", "auth/browser/paste.go", `return a.verify != nil && !answer.Has("iss")`, `return a.verify == nil && !answer.Has("iss")`, "auth/grant.TestPastedAnswers"},
	}},
	{`other users of the machine read the arguments of the browser's launcher`, []edit{
		{"the authorization URL is opened", "auth/browser/session.go", `s.opened <- s.open(s.startURI)`, `s.opened <- s.open(authorizationURL)`, "auth/browser.TestWhatIsOpenedTellsNothing"},
		{"the page redirects every visitor", "auth/browser/serve.go", `s.target = ""` + "\n\treturn target", "return target", "auth/browser.TestWhatIsOpenedTellsNothing"},
	}},
	{`what a server says misleads on the page at the end`, []edit{
		{"nothing is escaped", "auth/browser/page.go", `html.EscapeString(text)`, `html.UnescapeString(text)`, "auth/browser.TestErrorWithoutStateIsShown auth/browser.TestLoginFails"},
		{"what is said is shown as it is", "auth/browser/answer.go", `return shown.Text(strings.Join(strings.Fields(s), " "))`, `return shown.Text("") + strings.Join(strings.Fields(s), " ")`, "auth/browser.TestSaid"},
		{"the page loads what it likes", "auth/browser/page.go", `"default-src 'none'; `, `"default-src *; `, "auth/browser.TestLoginWorks"},
	}},
	{`a web page reaches the loopback listener (DNS rebinding)`, []edit{
		{"any host name is answered", "auth/browser/serve.go", `case r.Host != s.hosts[0] && r.Host != s.hosts[1]:`, `case false:`, "auth/browser.TestOnlyTheRedirectIsServed"},
		{"any method is answered", "auth/browser/serve.go", `if r.Method != http.MethodGet {`, `if false {`, "auth/browser.TestOnlyTheRedirectIsServed"},
		{"any path is answered", "auth/browser/serve.go", `case r.URL.Path == s.path:`, `case r.URL.Path != s.startPath:`, "auth/browser.TestOnlyTheRedirectIsServed"},
		{"it listens on all interfaces", "auth/browser/loopback.go", `cmp.Or(l.Bind, loopbackIP), strconv`, `cmp.Or(l.Bind, "0.0.0.0"), strconv`, "auth/browser.TestListensOnOneAddress"},
	}},
	{`mix-up: one server's code or token goes to another`, []edit{
		{"any iss is right", "auth/grant/authorizationcode.go", `(len(iss) != 1 || iss[0] != srv.Issuer)`, `len(iss) != 1`, "auth/grant.TestIssuerParameter"},
		{"a missing iss is no matter", "auth/grant/authorizationcode.go", `(sendsIss || srv.AuthorizationResponseIssParameterSupported || sent)`, `sent`, "auth/grant.TestIssuerParameter"},
		{"metadata of another issuer count", "auth/discovery/authserver.go", `if !SameIssuer(a.Issuer, issuer) {`, `if false {`, "auth/discovery.TestAuthorizationServer"},
		{"issuers are compared without case", "auth/discovery/authserver.go", `return a == b || a != ""`, `return strings.EqualFold(a, b) || a != ""`, "auth/discovery.TestSameIssuer"},
		{"documents of two issuers complement each other", "auth/discovery/authserver.go", ` && found.Issuer == server.Issuer {`, ` && found.Issuer != "" {`, "auth/discovery.TestDocumentsComplementEachOther"},
		{"SetRecord takes a token of another issuer", "auth/setrecord.go", `bound != "" && !discovery.SameIssuer(bound, r.Issuer)`, `bound != "" && discovery.SameIssuer(bound+"?", r.Issuer)`, "auth.TestSetRecordRefuses"},
		{"a refresh token follows a move", "auth/internal/finder/finder.go", `case !discovery.SameIssuer(srv.Issuer, q.Issuer):`, `case false:`, "auth/internal/finder.TestIssuerIsGone"},
	}},
	{`a server opens browser windows without end`, []edit{
		{"no limit for a set of scopes", "auth/internal/lifecycle/stepups.go", `case entry.attempts() >= ask.Limit:`, `case entry.attempts() >= ask.Limit+100:`, "auth/internal/lifecycle.TestStepUpLimit"},
		{"no limit over all sets", "auth/internal/lifecycle/stepups.go", `case all >= maxUpgrades:`, `case false:`, "auth/internal/lifecycle.TestStepUpsOfAllSets"},
		{"a restart forgets the limits", "auth/internal/lifecycle/stepups.go", `before: min(max(l.Attempts, 1), maxUpgrades)`, `before: 0`, "auth/internal/lifecycle.TestStepUpRestore"},
		{"a failed login is not remembered", "auth/internal/lifecycle/pause.go", `wait = step(loginPause, maxLoginPause, t.login.hard)`, `wait = 0`, "auth/internal/lifecycle.TestPauses"},
	}},
	{`the URL that is opened does something else`, []edit{
		{"any URL is opened", "auth/browser/session.go", `if _, err := httpx.CheckURLFor(ctx, "authorization URL", authorizationURL); err != nil {`, `if _, err := httpx.CheckURLFor(ctx, "authorization URL", authorizationURL); authorizationURL == "" {`, "auth/browser.TestVisitRefuses"},
		{"endpoints have any scheme", "internal/httpx/url.go", `case u.Scheme != "https" && u.Scheme != "http":`, `case u.Scheme == "javascript":`, "internal/httpx.TestCheckURL"},
		{"endpoints are not checked", "auth/discovery/authserver.go", `if _, err := c.checkNamed(member, raw, base); err != nil {`, `if _, err := c.checkNamed(member, raw, base); err != nil && raw == "" {`, "auth/discovery.TestAuthorizationServerEndpoints"},
	}},

	// Refresh tokens

	{`a refresh token is sent twice, so that the server revokes all (OAuth 2.1 section 4.3.1)`, []edit{
		{"what another process got is not adopted", "auth/renew.go", `case tx.better(job.before.Token, want):`, `case false:`, "auth.TestAdoptsWhatAnotherGot"},
		{"a lost answer is asked for again and again", "auth/retry.go", `stop, ambiguous, wait = ambiguous, true, ambiguousWait`, `stop, ambiguous, wait = ambiguous && false, true, ambiguousWait`, "auth.TestRetryClasses"},
		{"a lost answer is asked for again late", "auth/retry.go", `ambiguousWait = 50 * time.Millisecond`, `ambiguousWait = 5 * time.Second`, "auth.TestLostAnswerIsAskedForAgainAtOnce"},
		{"a request is sent after its time", "auth/endpoint.go", `if isOver(b.end) ||`, `if`, "auth.TestNothingIsSentTooLate"},
		{"a 404 without a word is a refusal", "auth/answer.go", `status == http.StatusNotFound && r.Named`, `status == http.StatusNotFound`, "auth.TestTransientFailureKeepsEverything"},
		{"a try that was cut off hides the answer", "auth/retry.go", "if last != nil && f.Class", "if false && f.Class", "auth.TestErrorOfAnOperationThatWasCutOff"},
		{"what was sent is too late", "auth/endpoint.go", `b.late != nil && b.left > 0 {`, `b.late != nil {`, "auth.TestLateOnceItIsSent"},
		{"plain text in the answer's place has what was sent taken for unsent", "auth/endpoint.go", ` && !errors.Is(err, http.ErrSchemeMismatch)`, ``, "auth.TestWhatWasSent"},
		{"a refused token is sent again with other proofs", "auth/proving.go", `meaning(false) == lifecycle.RefusedToken`, `meaning(false) == lifecycle.Ours`, "auth.TestDeadTokenIsNotProvedAgain"},
		{"what was sent is taken for unsent", "auth/endpoint.go", `b.whole.Store(true)`, `b.whole.Store(false)`, "auth.TestWhatWasSent"},
	}},
	{`the successor of a spent token is lost`, []edit{
		{"a token is not stored", "auth/save.go", `generation, err := v.write(ctx, rec)`, `generation, err := rec.Generation, error(nil)`, "auth.TestSavedBeforeHandedOut"},
		{"the store is not probed", "auth/transaction.go", `if _, err = v.read(ctx); err == nil {`, `if _, err = v.read(ctx); err == nil && v.cfg.anyway {`, "auth.TestProbeComesBeforeTheRequest"},
		{"what was not stored is forgotten", "auth/save.go", `e.token, e.replaced = true, replaced`, `e.token, e.replaced = false, replaced`, "auth.TestUnsavedTokenIsUsedAndSavedLater"},
	}},
	{`the loser of a race deletes the winner's token`, []edit{
		{"a token that may be spent is sent after the store went back", "auth/reconcile.go", "if left <= 0 {", "if true {", "auth.TestStoreGoesBack"},
		{"who did not see the store go back sends what is spent", "auth/reconcile.go", `if ago := time.Since(*rec.Restored); -doubtTime < ago && ago < doubtTime {`, `if ago := doubtTime; ago < 0 {`, "auth.TestStoreWentBackForAll"},
		{"the larger counter wins", "auth/reconcile.go", `case ours == nil || lineage.List(stored.Replaced).Has(ours.RefreshToken):`, `case ours == nil:`, "auth.TestOutlasts"},
		{"a corrupt record stays", "auth/vault.go", `!replaced && v.replaceCorrupt(ctx, before)`, `replaced && v.replaceCorrupt(ctx, before)`, "auth.TestCorruptRecordIsReplaced"},
		{"everybody is let in", "auth/admission/admission.go", "if t.of.running < int(t.of.limit) && t.of.first == nil {", "if true {", "auth.TestCrowdWaitsInAQueue"},
		{"everybody calls the store at once", "auth/crowd.go", "mostCalls = 256", "mostCalls = 1 << 20", "auth.TestCrowdReadsTheStore"},
		{"a record that was moved aside is a logout", "auth/store/filestore/filestore.go", "case errors.Is(err, auth.ErrNotFound) && s.damaged(key):", "case false:", "auth/store/filestore.TestDamageIsFoundByAnother"},
		{"what slept is out of time", "auth/internal/flight/nap.go", "!passes(err) || !r.nap.taken()", "true", "auth/internal/flight.TestAwake"},
		{"a late answer is not waited for", "auth/internal/late/late.go", "if r.timer == nil {\n\t\t\tcancel", "if true {\n\t\t\tcancel", "auth.TestLateAnswer"},
		{"an answer that waited is not read", "auth/internal/late/late.go", `case now.Sub(r.due) > slept:`, `case false:`, "auth/internal/late.TestSlept"},
		{"the store is not read again after a refusal", "auth/renew.go", `unread := tx.again(again)`, `unread := again.Err()`, "auth.TestLoserGoesOnWithTheWinnersRefreshToken"},
		{"a conflict is won by who comes last", "auth/save.go", `case loadErr == nil && prefers(theirs, rec, replaced):`, `case false:`, "auth.TestDropLosesAgainstTheWinner"},
	}},
	{`tokens stolen from a log or a proxy are used elsewhere`, []edit{
		{"a proof is for any method", "auth/dpop/key.go", `"htm": p.Method,`, `"htm": "POST",`, "auth/dpop.TestProof"},
		{"a proof is for any token", "auth/dpop/key.go", `claims["ath"] = encode(hash[:])`, `_ = hash`, "auth/dpop.TestProof"},
		{"proofs have the same jti", "auth/dpop/key.go", `"jti": rand.Text(),`, `"jti": rand.Text()[:0],`, "auth/dpop.TestProofsAreUnique"},
		{"nonces are shared between origins", "auth/internal/nonces/nonces.go", `return Verifier{httpx.Origin(u), resource}`, `return Verifier{httpx.Origin(u)[:5], resource}`, "auth/internal/nonces.TestNonces"},
		{"nonces of server and resource are shared", "auth/internal/nonces/nonces.go", `return Verifier{httpx.Origin(u), resource}`, `return Verifier{httpx.Origin(u), false}`, "auth/internal/nonces.TestNonces"},
		{"a bound token is used without its key", "auth/reconcile.go", `rec.Token = nil // bound to a key that we do not have`, `rec.ProofKey = nil`, "auth.TestDPoPTokenWithoutItsKey"},
		{"the proof is for the bare host", "transport/dpop.go", `cmp.Or(out.Method, http.MethodGet), out.URL.String())`, `cmp.Or(out.Method, http.MethodGet), out.URL.Scheme+"://"+out.URL.Host)`, "transport.TestDPoPProofIsForTheRequest"},
	}},

	// Hostile servers

	{`SSRF: a challenge or metadata name hosts of the network that the client is in`, []edit{
		{"any address is dialled", "internal/httpx/policy.go", `return isPublic(addr) || p != nil`, `return true || p != nil`, "internal/httpx.TestGuard"},
		{"the proof accepts any address", "internal/httpx/guard.go", `return !isPublic(a)`, `return true`, "internal/httpx.TestProof"},
		{"the proof needs no certificate", "internal/httpx/guard.go", `strict.ServerName, strict.InsecureSkipVerify = name, false`, `strict.ServerName, strict.InsecureSkipVerify = name, true`, "internal/httpx.TestProof"},
		{"a home is private for ever", "internal/httpx/guard.go", `known := h.proven == now`, `known := h.proven != ""`, "internal/httpx.TestHomeThatMoves"},
		{"private networks are public", "internal/httpx/address.go", `if !addr.IsGlobalUnicast() || addr.IsPrivate() {`, `if !addr.IsGlobalUnicast() {`, "internal/httpx.TestIsPublic"},
		{"NAT64 hides a private address", "internal/httpx/address.go", `if nat64.Contains(addr) {`, `if false {`, "internal/httpx.TestIsPublic"},
		{"a dialer with TLS goes anywhere", "internal/httpx/guard.go", `g.public.DialTLSContext = g.dialer.dialTLS`, `g.public.DialTLSContext = g.dialer.tls`, "internal/httpx.TestGuardOnTransportsOfTheProgram"},
		{"127.1 is a host name", "internal/httpx/url.go", `return last == "localhost" || last != "" && '0' <= last[0] && last[0] <= '9'`, `return last == "localhost"`, "internal/httpx.TestIsLocalName"},
		{"public metadata name this machine", "auth/discovery/client.go", `if httpx.IsLocalName(u.Hostname()) && `, `if u.Hostname() == "" && `, "auth/discovery.TestProtectedResource"},
		{"the headless browser goes anywhere", "auth/browser/headless.go", `client := httpx.Guarded(ctx, s.client, authorizationURL)`, `client := s.client`, "auth/browser.TestHeadlessKeepsToPublicAddresses"},
		{"the finder's clients have no guard", "auth/internal/finder/client.go", `if c == f.cfg.Plain {`, `if c != nil {`, "auth/internal/finder.TestPublicResourceDoesNotLeadHere"},
	}},
	{`DNS rebinding of such names`, []edit{
		{"the name is dialled, not the address", "internal/httpx/dial.go", `return d.plain(ctx, network, net.JoinHostPort(a.String(), port))`, `return d.plain(ctx, network, address)`, "internal/httpx.TestGuardRebinding internal/httpx.TestGuardOnTransportsOfTheProgram"},
		{"where TLS was dialled is not looked at", "internal/httpx/dial.go", `case !d.policy.mayDial(at.Addr(), port):`, `case !d.policy.mayDial(at.Addr(), port) && port == "":`, "internal/httpx.TestGuardOnTransportsOfTheProgram"},
	}},
	{`redirects of metadata`, []edit{
		{"to any origin", "internal/httpx/redirect.go", `case !SameOrigin(req.URL, via[0].URL):`, `case false:`, "internal/httpx.TestSameOriginRedirect"},
		{"without a limit", "internal/httpx/redirect.go", `case len(via) > maxRedirects:`, `case false:`, "internal/httpx.TestSameOriginRedirectLimit"},
	}},
	{`endless or slow answers, compressed bombs, deep nesting, huge headers, thousands of challenges`, []edit{
		{"a large body is cut and read", "internal/httpx/httpx.go", `if body.Len() > MaxBody {`, `if false {`, "internal/httpx.TestReadBody"},
		{"the guarded transport reads 10 MiB of a header", "internal/httpx/guard.go", `t.MaxResponseHeaderBytes = MaxBody`, `t.MaxResponseHeaderBytes = 10 << 20`, "internal/httpx.TestGuardBoundsHeaders"},
		{"challenges without a limit", "auth/internal/challenge/challenge.go", `maxCount = 32`, `maxCount = 32 << 20`, "auth.TestParseChallengesBounds"},
		{"challenges of any length", "auth/internal/challenge/challenge.go", `if len(v) > maxBytes {`, `if false {`, "auth.TestParseChallengesBounds"},
		{"tokens of any length", "auth/internal/wire/token.go", `if len(t.AccessToken) > MaxToken {`, `if false {`, "auth/internal/wire.TestReadTokenRefuses"},
		{"lists of servers without a limit", "auth/internal/finder/resource.go", `len(l.issuers) < maxIssuers && `, ``, "auth/internal/finder.TestSummaryIsBounded"},
		{"tables without a limit", "auth/internal/finder/table.go", `full := len(t.entries) >= maxEntries`, `full := false`, "auth/internal/finder.TestTablesAreBounded"},
	}},
	{`an MCP server, a planted record or a restart sends a client's secret, its assertion, a workload's or a user's token to a server of the attacker's`, []edit{
		{"a secret goes to another issuer than the program's", "auth/credentials.go", `case d.issuer != "" && !discovery.SameIssuer(d.issuer, srv.Issuer):`, `case d.issuer == "-" && !discovery.SameIssuer(d.issuer, srv.Issuer):`, "auth.TestOwnCredentialsGoNowhereElse"},
		{"a secret goes wherever the MCP server says", "auth/credentials.go", `case d.issuer == "" && !d.anywhere:`, `case false:`, "auth.TestOwnCredentialsGoNowhereElse"},
	}},
	{`one resource pushes out what is known of others, so that they are asked for again and again`, []edit{
		{"a table that is full forgets everything", "auth/habits.go", "delete(h.seen, other)\n\t\t\tbreak", "delete(h.seen, other)", "auth.TestHabitsAreBounded"},
		{"what one user's browser says costs the client", "auth/begin.go", `if errors.As(err, &written) {`, `if errors.As(err, &written) && false {`, "auth.TestForgedRefusalKeepsTheClient"},
		{"a web login's refusal is forgotten", "auth/begin.go", `o.clients.seen().Doubt(s.Issuer, client.ID)`, `_ = client`, "auth.TestForgedRefusalKeepsTheClient"},
		{"what one user's browser says counts for others", "auth/obtain.go", `r.canonical + " " + subject}`, `r.canonical}`, "auth.TestOfflineAccessIsRefused"},
		{"one resource takes more than its share", "auth/internal/finder/table.go", `if full || owned[owner] >= maxOwned {`, `if full {`, "auth/internal/finder.TestOneResourceDoesNotPushOutOthers"},
	}},
	{`users of a gateway name resources of the attacker's, or a call forgets whose it is`, []edit{
		{"any resource will do", "auth/poolconfig.go", `return c.AllowResource(key.subject, key.resource)`, `return nil`, "auth.TestPoolLimits"},
		{"a call without a subject gets a token", "auth/poolconfig.go", `if key.subject == "" && !c.AllowEmptySubject {`, `if false {`, "auth.TestPoolLimits"},
	}},
	{`documents that mean different things to different readers`, []edit{
		{"a member may be there twice", "auth/internal/wire/object.go", `if o.last(d) >= 0 {`, `if o.last(d) >= 100 {`, "auth/internal/wire.TestReadObject"},
		{"a member may be there in another case", "auth/internal/wire/object.go", `case bytes.EqualFold([]byte(d), name):`, `case false:`, "auth/internal/wire.TestReadObject"},
		{"the last of two members counts", "internal/httpx/httpx.go", `if _, twice := members[name]; twice {`, `if _, twice := members[name]; twice && name == "" {`, "internal/httpx.TestDecodeObject"},
		{"an issuer has dot segments", "internal/httpx/url.go", `if segment == "." || segment == ".." {`, `if segment == "." {`, "internal/httpx.TestHasDotSegment"},
	}},
	{`a server that fails or throttles makes clients storm it, or stop for a century`, []edit{
		{"a secret is tried in every way whatever the server says", "auth/proving.go", "default:\n\t\treturn false, nil", "default:\n\t\treturn true, nil", "auth.TestSecretThatIsNotDecoded"},
		{"a token endpoint stops clients for ever", "auth/retry.go", `return min(httpx.RetryAfter(h, time.Now()), maxRetryAfter)`, `return httpx.RetryAfter(h, time.Now())`, "auth.TestRetryAfter"},
		{"discovery stops clients for ever", "auth/retry.go", `min(found.RetryAfter, maxRetryAfter)`, `found.RetryAfter`, "auth.TestRetryAfterIsCapped"},
		{"registration stops clients for ever", "auth/retry.go", `min(registered.RetryAfter, maxRetryAfter)`, `registered.RetryAfter`, "auth.TestRetryAfterIsCapped"},
		{"Retry-After is not obeyed", "auth/internal/lifecycle/pause.go", `if asked > 0 {`, `if asked < 0 {`, "auth/internal/lifecycle.TestRetryAfterIsAFloor"},
		{"every caller tries for itself", "auth/internal/lifecycle/next.go", `case t != nil && !t.renew.over(now):`, `case false:`, "auth/internal/lifecycle.TestLooksDuringPauses auth/internal/lifecycle.TestRetryAt"},
		{"all clients come back at once", "auth/retry.go", `backoff.WithRandomizationFactor(0.5),`, `backoff.WithRandomizationFactor(0),`, "auth.TestBackoffGrowsWithJitter"},
	}},
	{`a 401 or 403 forever`, []edit{
		{"resends without a limit", "transport/transport.go", `maxResends  = 10`, `maxResends  = 10_000`, "transport.TestResendsAreBounded"},
		{"tokens without a limit", "auth/internal/lifecycle/evidence.go", `if r.duds > maxDuds {`, `if false {`, "auth/internal/lifecycle.TestBars"},
		{"a bar is for one caller", "auth/internal/lifecycle/evidence.go", `return m.trouble != nil && m.trouble.rejections.bar.holds(now)`, `return m.trouble != nil && false`, "auth/internal/lifecycle.TestBars"},
	}},
	{`a user of a gateway sends their login link to somebody else, to get that person's token; or puts an account of theirs in another's place`, []edit{
		{"any user may finish a login", "auth/weblogin/handler.go", `if !same(began, owner(secret, subject)) {`, `if began == "never" {`, "auth/weblogin.TestRefusals"},
		{"a link is anybody's", "auth/weblogin/pending.go", `ClientID: id, Subject: subject}`, `ClientID: id}`, "auth/weblogin.TestRefusals"},
	}},
	{`the answer to a web login is used again, or for another subject, resource or client`, []edit{
		{"a login is used twice", "auth/weblogin/handler.go", `case p.Used:`, `case false:`, "auth/weblogin.TestBrowsers"},
		{"what was kept is anybody's", "auth/suspend.go", `case s.Resource != canonical || s.Subject != subject:`, `case false:`, "auth.TestFinishLoginRefuses"},
		{"a code is for any client", "auth/begin.go", `case client.ID != s.Client:`, `case false:`, "auth.TestFinishLoginRefuses"},
		{"any state will do", "auth/grant/authorizationcode.go", `len(states) != 1 || subtle.ConstantTimeCompare([]byte(states[0]), []byte(req.State)) == 0`, `len(states) > 1 || subtle.ConstantTimeCompare(nil, nil) == 0`, "auth.TestFinishLoginRefuses"},
	}},
	{`a deleted user's tokens live on`, []edit{
		{"a user's logins under way stay", "auth/accounts.go", `case e.Key.Resource == "" && p.hasBegun(ctx, e, canonical):`, `case e.Key.Resource == "" && false:`, "auth.TestDeletedUserLeavesNothing"},
		{"logins under way at a server stay", "auth/accounts.go", `return err == nil && at.Resource == of.Resource`, `return err == nil && at.Resource == ""`, "auth/weblogin.TestLogoutEndsLogins"},
	}},
	{`scopes that grow without end`, []edit{
		{"scopes of challenges are not bounded", "auth/scopes.go", `if size > maxScopeBytes && len(all) > len(base) {`, `if false {`, "auth.TestBoundedScopes"},
		{"scopes of metadata are not bounded", "auth/internal/finder/resource.go", `size > maxScopeBytes {`, `size < 0 {`, "auth/internal/finder.TestSummaryIsBounded"},
	}},

	// What is written down

	{`a value with a secret is printed, or logged inside another`, []edit{
		{"a token is JSON", "auth/token.go", `func (t Token) MarshalJSON()`, `func (t Token) marshalJSON()`, "internal/canarytest.TestNoTypePrintsASecret"},
		{"a proof prints its token", "auth/redact.go", `func (p Proof) Format(`, `func (p Proof) format(`, "internal/canarytest.TestNoTypePrintsASecret"},
		{"a subject is printed", "auth/poolsource.go", `func (s PoolSource) Format(`, `func (s PoolSource) format(`, "internal/canarytest.TestNoTypePrintsASecret"},
	}},
	{`a server's words forge log lines, drive a terminal, mislead the eye or fill a disk`, []edit{
		{"what a server said is not cleaned", "internal/shown/shown.go", `} else if !visible(r) {`, `} else if r == 0 {`, "internal/shown.TestText"},
		{"a text is as long as it is", "internal/shown/shown.go", `const Max = 300`, `const Max = 30000`, "auth.TestHostileChallengesAreShownSafely"},
		{"the log has what a server chose", "auth/internal/tracing/tracing.go", `slog.StringValue(shown.Text(v))`, `slog.StringValue(v)`, "auth.TestHostileWordsAreShownSafely"},
		{"spans have what a server chose", "otelauth/attributes.go", `key.String(shown.Text(value))`, `key.String(value + shown.Text(""))`, "otelauth.TestHostileNamesAreShownSafely"},
		{"a host is anything", "internal/httpx/url.go", `&& !isHost(u):`, `&& !isHost(u) && false:`, "internal/httpx.TestCheckURL"},
		{"an issuer is shown with what its URL hides", "internal/httpx/url.go", `u.User != nil || strings.ContainsFunc(raw, odd)`, `strings.ContainsFunc(raw, odd)`, "internal/httpx.TestShownIssuer"},
	}},
	{`secrets in logs, errors, traces, metrics, events, dumps`, []edit{
		{"an answer repeats what was sent", "auth/answer.go", `wire.ReadRefusal(body, append(s.secrets(), known()...)...)`, `wire.ReadRefusal(body)`, "auth.TestCanaryAnswers"},
		{"an error repeats net/http's words", "internal/errtext/errtext.go", `return fmt.Sprintf("failed (%T)", err)`, `return fmt.Sprintf("failed (%v)", err)`, "internal/errtext.TestDescribe"},
		{"a token prints itself", "auth/token.go", `s += " refreshable"`, `s += " refreshable " + t.RefreshToken`, "auth.TestValuesRedactThemselves"},
		{"secrets in disguise are shown", "auth/internal/wire/secrets.go", `if hasDisguised(text, disguises(secrets)) {`, `if false {`, "auth/internal/wire.TestReadRefusalWithSecrets auth/internal/wire.TestRefusalRemovesSecrets"},
		{"any text is an error code", "internal/httpx/httpx.go", `if (r < 'a' || r > 'z') && r != '_' {`, `if r < ' ' {`, "internal/httpx.TestErrorCode"},
		{"spans have the query of a URL", "otelauth/attributes.go", `Path: u.Path, RawPath: u.RawPath}`, `Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}`, "otelauth.TestURLs"},
	}},
	{`labels without end in metrics`, []edit{
		{"host names are not bounded", "otelauth/metrics.go", `if len(h.seen) >= maxHosts {`, `if false {`, "otelauth.TestHostsAreBounded"},
	}},
	{`other users of the machine read or replace the files`, []edit{
		{"the directory is open", "auth/store/filestore/filestore.go", `os.MkdirAll(s.dir, 0o700)`, `os.MkdirAll(s.dir, 0o755)`, "auth/store/filestore.TestModes"},
		{"a loose mode is no matter", "auth/store/filestore/sys_unix.go", `if mode&0o077 == 0 {`, `if mode&0o007 == 0 {`, "auth/store/filestore.TestLooseFile auth/store/filestore.TestLooseDirectory"},
		{"another's files are read", "auth/store/filestore/sys_unix.go", `if !ok || int(stat.Uid) == os.Geteuid() {`, `if !ok || int(stat.Uid) >= 0 {`, "auth/store/filestore.TestOthersFiles"},
		{"links are followed", "auth/store/filestore/sys_unix.go", `os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK`, `os.O_RDONLY|syscall.O_NONBLOCK`, "auth/store/filestore.TestReplaced"},
		{"a linked directory is used", "auth/store/filestore/filestore.go", `case at.Mode()&fs.ModeSymlink != 0:`, `case false:`, "auth/store/filestore.TestLinkedDirectory"},
		{"files of any size are read", "auth/store/filestore/file.go", `const maxFile = 4 << 20`, `const maxFile = 64 << 20`, "auth/store/filestore.TestLargeFile"},
		{"a used directory is closed silently", "auth/store/filestore/filestore.go", `owned("open", dir, at) != nil || !empty(dir) {`, `owned("open", dir, at) != nil {`, "auth/store/filestore.TestLooseDirectory"},
		{"a failed replacement leaves a file", "internal/atomicfile/atomicfile.go", `_ = os.Remove(temp)`, `_ = temp`, "internal/atomicfile.TestReplaceFails"},
	}},
	{`a person who operates, backs up or steals a store reads or changes tokens`, []edit{
		{"an old record opens", "auth/store/sealed/seal.go", `head + at.Subject + " " + strconv.FormatUint(generation, 10)`, `head + at.Subject + " " + strconv.FormatUint(0*generation, 10)`, "auth/store/sealed.TestTampering"},
		{"nothing is encrypted", "auth/store/sealed/seal.go", `s.keys[0].aead.Seal([]byte(line), nil, plain, bound(line, at, generation))`, `append([]byte(line), plain...)`, "auth/store/sealed.TestHides"},
		{"what cannot be opened is overwritten", "auth/store/sealed/seal.go", `return auth.Key{}, nil, keyID, ErrWrongKey`, `return auth.Key{}, nil, keyID, auth.ErrNotFound`, "auth/store/sealed.TestWrongSecret"},
	}},
	{`a damaged or newer record`, []edit{
		{"a newer record is guessed at", "auth/store/record.go", `if head.Version > version {`, `if false {`, "auth/store.TestRecordThatCannotBeDecoded"},
		{"times beyond reason are taken", "auth/store/record.go", `if json.Unmarshal(data, &s) != nil || !s.inTime() {`, `if json.Unmarshal(data, &s) != nil {`, "auth/store.TestRecordThatCannotBeDecoded"},
		{"a damaged record is overwritten", "auth/store/filestore/filestore.go", `if errors.Is(err, store.ErrCorrupt) && errors.As(err, &e) {`, `if errors.Is(err, store.ErrCorrupt) && !errors.As(err, &e) {`, "auth/store/filestore.TestCorrupt"},
		{"a record of another key is taken", "auth/store/filestore/filestore.go", `case whose != key:`, `case whose == key && key != whose:`, "auth/store/filestore.TestNotOurs"},
	}},
	{`a process that lost its lock writes over another's token`, []edit{
		{"a file of any generation is replaced", "auth/store/filestore/filestore.go", `case generation(old) != r.Generation:`, `case false:`, "auth/store/filestore.TestContract"},
		{"a refresh token is sent without the lease", "auth/transaction.go", `return ok && t.locked && !l.Held(t.v.key())`, `return ok && t.locked && l == nil`, "auth.TestLostLeaseSendsNothing"},
		{"the lease is not looked at when a refresh token goes out", "auth/endpoint.go", `b.by != nil && b.by.lost()`, `b.by != nil && b.by == nil`, "auth.TestLostLeaseSendsNothing"},
		{"Redis has no fence", "auth/store/redisstore/scripts.go", `by ~= nonce and g ~= since`, `by ~= nonce and g ~= g`, "auth/store/redisstore.TestFencing"},
	}},
	{`a person who writes to a store that is not sealed plants endpoints there`, []edit{
		{"a secret goes to a stored issuer", "auth/endpoints.go", `secret && !discovery.SameIssuer(c.configured.Issuer, rec.Issuer) {`, `secret && !discovery.SameIssuer(rec.Issuer, rec.Issuer) {`, "auth.TestStoredServerIsTheNamedOne"},
		{"a secret goes to stored endpoints anywhere", "auth/endpoints.go", `secret && !httpx.SameOrigin(u, issuer) {`, `secret && !httpx.SameOrigin(u, u) {`, "auth.TestPlantedEndpoint auth.TestStoredEndpointsAreOfTheIssuer"},
	}},

	// stdio servers

	{`the child process inherits the parent's secrets`, []edit{
		{"a secret is inherited", "mcpgo/environment.go", `[]string{"HOME", "LOGNAME", "PATH",`, `[]string{"HOME", "LOGNAME", "PATH", "AWS_SECRET_ACCESS_KEY",`, "mcpgo.TestEnvironment"},
		{"errors quote values", "mcpgo/environment.go", `"entry %d is not of the form NAME=VALUE", i)`, `"entry %d is not of the form NAME=VALUE: %s", i, entry)`, "mcpgo.TestEnvironmentEntries"},
	}},
	{`the token file is read by others`, []edit{
		{"the file stays after Close", "mcpgo/tokenfile.go", `err := atomicfile.Remove(f.path)`, `err := error(nil)`, "mcpgo.TestTokenFileAt"},
		{"its directory stays after Close", "mcpgo/tokenfile.go", `err = os.RemoveAll(f.private)`, `err = nil`, "mcpgo.TestTokenFile"},
		{"a token is written after Close", "mcpgo/tokenfile.go", "\tif f.closed() {\n\t\treturn f.stopped(nil)", "\tif false {\n\t\treturn f.stopped(nil)", "mcpgo.TestTokenFilePlaceAfterClose"},
	}},

	// Invariants of docs/architecture.md that no row above has

	{`invariant 1`, []edit{
		{"the lock comes after the reading", "auth/transaction.go", `unlock, err := v.lock(ctx, v.key())` + "\n\tif err == nil {\n\t\tt.unlock", `unlock, err := func() {}, error(nil)` + "\n\tif err == nil {\n\t\tt.unlock", "auth.TestLockedBeforeSent"},
	}},
	{`invariant 2`, []edit{
		{"a caller who leaves takes the refresh along", "auth/serve.go", `return nil, op.values.trouble.gaveUp(ctx)`, `op.flight.Cancel(context.Canceled); return nil, gaveUp(ctx)`, "auth.TestRefreshOutlivesCallersBetweenAttempts"},
		{"a refresh has no bound", "auth/renew.go", `run.Starts(ctx, time.Now().Add(o.timeout-o.requestTime()))`, `run.Starts(context.WithoutCancel(ctx), time.Now().Add(1000*o.timeout))`, "auth.TestRetriesOfARefreshAreBounded"},
	}},
	{`invariant 4`, []edit{
		{"an answer without a refresh token ends the session", "auth/spend.go", `if tok.RefreshToken == "" {`, `if false {`, "auth.TestResponseWithoutRefreshTokenOrScope"},
		{"an answer without scope has none", "auth/internal/wire/token.go", `ReadScopes(o.Raw("scope"), requested)`, `ReadScopes(o.Raw("scope"), requested[:0])`, "auth/internal/wire.TestReadTokenOfRealServers"},
	}},
	{`invariant 5`, []edit{
		{"an early refresh makes callers wait", "auth/internal/lifecycle/next.go", `return Decision{Action: UseAndRenew, Op: Renew}`, `return Decision{Action: Wait, Op: Renew}`, "auth/internal/lifecycle.TestLife"},
	}},
	{`invariant 6`, []edit{
		{"a refused client ends the refresh token", "auth/internal/lifecycle/pause.go", `given := f.Class == RefusedToken || m.policy.Grant != Nothing`, `given := true`, "auth/internal/lifecycle.TestRefused"},
		{"invalid_client is about the token", "auth/retry.go", `return lifecycle.RefusedClient`, `return lifecycle.RefusedToken`, "transport.TestRefusalThatIsNotAboutTheRefreshToken"},
		{"what an old refresh token met counts for its successor", "auth/internal/lifecycle/next.go", `superseded := n.sent != 0`, `superseded := false`, "auth/internal/lifecycle.TestRefusedWhileAnotherCame"},
		{"a spent token wins by its number", "auth/reconcile.go", `return slices.Contains(replaced, theirs.RefreshToken) && `, `return slices.Contains(replaced, "") && `, "auth.TestSpentTokenDoesNotWin"},
	}},
	{`invariant 7`, []edit{
		{"the window does not shrink", "auth/internal/lifecycle/plan.go", `w = min(w, life/2)`, `w = min(w, life)`, "auth/internal/lifecycle.TestWindow"},
		{"a token without expires_in is refreshed early", "auth/internal/lifecycle/plan.go", `if t.Expiry.IsZero() {` + "\n\t\treturn 0", `if t.Expiry.IsZero() {` + "\n\t\treturn time.Minute", "auth/internal/lifecycle.TestWindow"},
		{"a clock that was set back holds pauses", "auth/internal/lifecycle/pause.go", `if (span{p.from, p.until}).before(now) {`, `if false {`, "auth/internal/lifecycle.TestClockSetBack"},
		{"monotonic time decides", "auth/token.go", `c.Expiry = t.Expiry.Round(0)`, `c.Expiry = t.Expiry`, "auth.TestExpiryIsWallClock"},
	}},
	{`invariant 9`, []edit{
		{"all tokens have the same window", "auth/internal/lifecycle/plan.go", `w += time.Duration(m.policy.Jitter() * share * float64(w))`, `w += time.Duration(share * 0)`, "auth/internal/lifecycle.TestWindow"},
	}},
	{`invariant 10`, []edit{
		{"a young token is replaced at once", "auth/internal/lifecycle/evidence.go", `case int(n.Tries) < len(youth) && m.young(now):`, `case false:`, "auth/internal/lifecycle.TestNotYetValid"},
	}},
	{`invariant 11`, []edit{
		{"one request replaces good tokens for ever", "auth/internal/lifecycle/need.go", `next.Replaced = n.Replaced || n.Tries > 0 || n.Done&(Renew|Login) != 0`, `next.Replaced = false`, "auth/internal/lifecycle.TestOneRequestAlwaysRefused"},
		{"the intervals do not grow", "auth/internal/lifecycle/evidence.go", `step(firstRefusal, longestRefusal, last.count)`, `firstRefusal`, "auth/internal/lifecycle.TestGrowingRefusals"},
	}},
	{`invariant 12`, []edit{
		{"a new token is barred, too", "auth/internal/lifecycle/machine.go", `tr.rejections.bar = span{} // nothing has rejected this one [12]`, ``, "auth/internal/lifecycle.TestBarEndsWithAnotherToken"},
	}},
	{`invariant 13`, []edit{
		{"a DELETE starts a login", "auth/internal/lifecycle/next.go", "\tcase n.NoLogin:\n\t\treturn false", "\tcase false:\n\t\treturn false", "auth/internal/lifecycle.TestClosing"},
		{"a login does not look at the store", "auth/login.go", "if helped() {\n\t\tres.adopted", "if false {\n\t\tres.adopted", "auth.TestLoginElsewhere"},
		{"each process opens a window", "auth/login.go", `if o.grant.Interactive() && !helped() {`, `if false {`, "auth.TestOneFirstLoginForAll"},
		{"a refusal is asked for again", "auth/login.go", `!turn.Done && r.after(before)`, `turn.Done && r.after(before)`, "auth.TestRefusalIsShared"},
		{"a turn is taken without a look", "auth/internal/turn/turn.go", `t.Done = of.Done(ctx)`, `t.Done = false`, "auth/internal/turn.TestOneOfMany"},
	}},
	{`invariant 14`, []edit{
		{"429 is a refusal", "auth/answer.go", `case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:`, `case status == http.StatusServiceUnavailable:`, "auth.TestRetryClasses"},
		{"what was understood is sent again", "auth/answer.go", "\tdefault:\n\t\tfail.class = lifecycle.RefusedRequest", "\tdefault:\n\t\tfail.class = lifecycle.Transient", "transport.TestUnusableAnswersAreNotAskedForAgain"},
	}},
	{`invariant 15`, []edit{
		{"a pause does not look at the store", "auth/internal/lifecycle/next.go", "case t != nil && !t.renew.over(now):\n\t\t\tif m.lookDue(now, n, look) {", "case t != nil && !t.renew.over(now):\n\t\t\tif false {", "auth/internal/lifecycle.TestLooksDuringPauses"},
		{"a lock that another process has is an error", "auth/transaction.go", `return &elsewhere{err}`, `return err`, "auth.TestLateAnswerToAnotherProcess"},
		{"a process that hangs is waited for for ever", "auth/internal/lifecycle/pause.go", `if !t.elsewhere.holds(now) {`, `if false {`, "auth/internal/lifecycle.TestPatient"},
	}},
	{`invariant 16`, []edit{
		{"a scope is given up for the refusal of another", "auth/errorkinds.go", `strings.Contains(said, offlineAccess))`, `said != "")`, "auth.TestOfflineAccessIsRefused"},
		{"an upgrade forgets what was granted", "auth/obtain.go", `scopes := unionScopes(o.asks.configured(), grantedScopes(rec), rec.Requested, extra)`, `scopes := unionScopes(o.asks.configured(), extra)`, "auth.TestStepUpByLogin"},
		{"a refresh that granted less is enough", "auth/internal/lifecycle/next.go", `case m.Usable(now) && !refused && (n.Final || m.covers(n.Scopes)):`, `case m.Usable(now) && !refused:`, "auth/internal/lifecycle.TestNext"},
		{"what a refresh did not grant is asked for at every login", "auth/spend.go", `!coversScopes(tok.Scopes, s.want); !s.res.narrow {`, `!coversScopes(tok.Scopes, s.want); true {`, "auth.TestRefusedScopesDoNotSpoilTheNextLogin"},
	}},
	{`invariant 17`, []edit{
		{"a refused registered client stays", "auth/renew.go", `reg != nil && refusesClient(err) {`, `reg != nil && refusesClient(err) && reg.ClientID == "" {`, "auth.TestRegisteredAgain"},
		{"a dead server is the end", "auth/internal/finder/server.go", `case ctx.Err() != nil || len(issuers) == 1:`, `case err != nil:`, "auth/internal/finder.TestSeveralServers"},
	}},
	{`invariant 18`, []edit{
		{"a client goes to every issuer", "auth/internal/finder/server.go", `bound != "" && spelling(issuers, bound) == "" {`, `bound != "" && len(issuers) == 0 {`, "auth/internal/finder.TestBoundClient"},
	}},
	{`invariant 20`, []edit{
		{"http to any host", "internal/httpx/url.go", `case u.Scheme == "http" && !IsLoopback(u.Hostname()) && n == nil:`, `case false:`, "internal/httpx.TestCheckURL"},
	}},
}
