use super::*;

fn request(body: &str) -> Result<TokenRequest, String> {
    TokenRequest::parse(body.as_bytes()).map_err(|e| e.message().to_owned())
}

#[test]
fn requests_are_checked() {
    let parsed = request(r#"{"sandbox":"abc","scopes":["manage","exec","exec"],"expiresIn":"10m"}"#);
    let expected = TokenRequest {
        sandbox: Some(SandboxId::parse("abc").unwrap()),
        scopes: vec![Scope::Exec, Scope::Manage],
        expires_in: Duration::from_secs(600),
    };
    assert_eq!(parsed, Ok(expected));
    for (body, word) in [
        ("{}", "scopes"),
        (r#"{"scopes":[],"expiresIn":"1h"}"#, "scopes"),
        (r#"{"scopes":"exec","expiresIn":"1h"}"#, "scopes"),
        (r#"{"scopes":["admin"],"expiresIn":"1h"}"#, "scopes"),
        (r#"{"scopes":["exec"]}"#, "expiresIn"),
        (r#"{"scopes":["exec"],"expiresIn":3600}"#, "expiresIn"),
        (r#"{"scopes":["exec"],"expiresIn":"0s"}"#, "expiresIn"),
        (r#"{"scopes":["exec"],"expiresIn":"8785h"}"#, "expiresIn"),
        (r#"{"scopes":["exec"],"expiresIn":"1h","sandbox":7}"#, "sandbox"),
        (r#"{"scopes":["exec"],"expiresIn":"1h","sandbox":"A"}"#, "sandbox"),
    ] {
        let error = request(body).unwrap_err();
        assert!(error.contains(word), "{body}: {error}");
    }
}

#[test]
fn claims_survive_the_way_through_a_token_until_they_expire() {
    let claims = Claims {
        sandbox: Some(SandboxId::parse("abc").unwrap()),
        scopes: vec![Scope::Exec, Scope::FilesRead],
        expires_at: 100,
    };
    let token = join(&claims.to_signed_part(), b"signature");
    let parsed = Unverified::parse(&token).unwrap();
    assert_eq!(parsed.signature, b"signature");
    assert_eq!(parsed.signed, claims.to_signed_part());
    assert_eq!(parsed.claims(99), Some(claims.clone()));
    assert_eq!(parsed.claims(100), None);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let (_, rest) = token.split_once('.').unwrap();
    for wrong in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        &format!("{none}.{rest}"),
        &format!("{token}.x"),
    ] {
        assert_eq!(
            Unverified::parse(wrong).and_then(|token| token.claims(0)),
            None,
            "{wrong}"
        );
    }
}

#[test]
fn a_token_permits_its_scopes_on_its_sandbox() {
    let [own, other] = ["abc", "abd"].map(|id| SandboxId::parse(id).unwrap());
    let mut claims = Claims {
        sandbox: Some(own.clone()),
        scopes: vec![Scope::Exec],
        expires_at: 0,
    };
    assert_eq!(claims.check(Some(Scope::Exec), Some(&own)), Ok(()));
    assert_eq!(claims.check(None, Some(&own)), Ok(()));
    assert!(
        claims
            .check(Some(Scope::Manage), Some(&own))
            .unwrap_err()
            .contains("manage")
    );
    for sandbox in [Some(&other), None] {
        assert!(
            claims
                .check(Some(Scope::Exec), sandbox)
                .unwrap_err()
                .contains("abc")
        );
    }
    claims.sandbox = None;
    assert_eq!(claims.check(Some(Scope::Exec), Some(&other)), Ok(()));
}
