use super::*;

#[test]
fn ports_are_the_contracts_without_sandboxds_own() {
    for good in ["1024", "3000", "8080", "28670", "28672", "65535"] {
        assert_eq!(Port::parse(good).unwrap().to_string(), good);
    }
    for bad in [
        "",
        "0",
        "80",
        "1023",
        "28671",
        "65536",
        "99999999",
        "-8080",
        "+8080",
        "8080.0",
        "8080/",
        "8080/more",
        "%38080",
        "8e3",
        " 8080",
        "a",
        "８０８０",
    ] {
        let error = Port::parse(bad).unwrap_err();
        assert_eq!(error.status(), 400, "{bad:?}");
        assert!(error.message().starts_with("Invalid port"), "{bad:?}");
    }
    assert!(serde_json::from_str::<Port>("28671").is_err());
    assert_eq!(
        serde_json::to_string(&Port::parse("8080").unwrap()).unwrap(),
        "8080"
    );
}

#[test]
fn names_are_dns_labels() {
    for good in ["a", "7", "my-app", "a--b", &"a".repeat(63)] {
        assert_eq!(TunnelName::parse(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "A",
        "-a",
        "a-",
        "-",
        "a.b",
        "a_b",
        "é",
        "a b",
        &"a".repeat(64),
    ] {
        let error = TunnelName::parse(bad).unwrap_err();
        assert!(error.message().contains("DNS label"), "{bad:?}");
    }
}

#[test]
fn a_request_names_what_is_wrong_with_it() {
    for unnamed in ["", " \n", "{}", r#"{"name":null}"#, r#"{"other":1}"#] {
        assert_eq!(
            TunnelRequest::parse(unnamed.as_bytes()),
            Ok(TunnelRequest::default())
        );
    }
    let request = TunnelRequest::parse(br#"{"name":"app"}"#).unwrap();
    assert_eq!(request.name.as_ref().unwrap().as_str(), "app");
    assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"name":"app"}"#);
    assert_eq!(serde_json::to_string(&TunnelRequest::default()).unwrap(), "{}");
    for (bad, text) in [
        ("{", "Invalid JSON body"),
        ("[]", "Invalid JSON body"),
        (r#""app""#, "Invalid JSON body"),
        (r#"{"name":1}"#, "name must be a string"),
        (r#"{"name":["app"]}"#, "name must be a string"),
        (r#"{"name":""}"#, "name must be a DNS label"),
        (r#"{"name":"a.b"}"#, "name must be a DNS label"),
    ] {
        let error = TunnelRequest::parse(bad.as_bytes()).unwrap_err();
        assert!(error.message().contains(text), "{bad}: {error}");
    }
}

#[test]
fn wire_forms() {
    let port = Port::parse("8080").unwrap();
    let mut tunnel = Tunnel {
        listening: None,
        id: "quick-0a1b2c3d".into(),
        port,
        url: "https://some-words.trycloudflare.com".into(),
        hostname: "some-words.trycloudflare.com".into(),
        created_at: "2026-11-21T07:00:00.000Z".into(),
        name: None,
    };
    let wire = r#"{"id":"quick-0a1b2c3d","port":8080,"url":"https://some-words.trycloudflare.com","hostname":"some-words.trycloudflare.com","createdAt":"2026-11-21T07:00:00.000Z"}"#;
    assert_eq!(serde_json::to_string(&tunnel).unwrap(), wire);
    assert_eq!(serde_json::from_str::<Tunnel>(wire).unwrap(), tunnel);
    assert!(conflict(port, None).starts_with("port 8080 has a tunnel with no name already"));
    tunnel.name = Some(TunnelName::parse("app").unwrap());
    assert!(
        serde_json::to_string(&tunnel)
            .unwrap()
            .ends_with(r#"Z","name":"app"}"#)
    );
    assert!(conflict(port, tunnel.name.as_ref()).contains("with the name app already"));
}

#[test]
fn what_sandboxd_is_asked() {
    assert_eq!(serde_json::to_string(&OpenTunnel::default()).unwrap(), "{}");
    let open = OpenTunnel {
        named: Some(NamedTunnel {
            name: TunnelName::parse("app").unwrap(),
            id: "i".into(),
            hostname: "app.example.com".into(),
            token: "secret".into(),
        }),
    };
    let wire = r#"{"named":{"name":"app","id":"i","hostname":"app.example.com","token":"secret"}}"#;
    assert_eq!(serde_json::to_string(&open).unwrap(), wire);
    assert_eq!(serde_json::from_str::<OpenTunnel>(wire).unwrap(), open);
    assert!(!format!("{open:?}").contains("secret"));
    assert!(serde_json::from_str::<OpenTunnel>(&wire.replace("\"app\"", "\"A\"")).is_err());
}
