use super::*;

fn config(vars: &[(&str, &str)]) -> Result<Config, ApiError> {
    Config::from_vars(|name| {
        vars.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn defaults() {
    let expected = Config {
        code_prewarm: Vec::new(),
        api_keys: ApiKeys::default(),
        allowed_origins: AllowedOrigins::default(),
        max_upload_bytes: None,
        start_timeout: Duration::from_secs(30),
        platform_timeout: Duration::from_secs(10),
        sleep_after: Some(Duration::from_secs(600)),
        sleep_after_text: "10m".into(),
        forget_after: Duration::from_secs(24 * 3600),
        instance: Instance::Named("standard-1".into()),
        max_sandboxes: None,
        index_shards: 16,
        index_retry: Duration::from_secs(30),
        tunnel: TunnelConfig::from_vars(|_| None),
        cloudflared: None,
        snapshots: None,
        mount: MountConfig::default(),
        pool: PoolConfig::from_vars(|_| None).unwrap(),
        file_roots: FileRoots::default(),
        limits: BTreeMap::new(),
        preview_host: None,
        runtime_url: None,
    };
    assert_eq!(config(&[]).unwrap(), expected);
    assert_eq!(config(&[("SANDBOX_API_KEY", "")]).unwrap(), expected);
}

#[test]
fn every_variable() {
    let set = config(&[
        ("SANDBOX_API_KEY", "k"),
        ("ALLOWED_ORIGINS", "https://app.example.com"),
        ("MAX_UPLOAD_BYTES", "10"),
        ("SANDBOX_START_TIMEOUT", "500ms"),
        ("SANDBOX_PLATFORM_TIMEOUT", "1s"),
        ("SANDBOX_SLEEP_AFTER", "2h"),
        ("SANDBOX_FORGET_AFTER", "1h"),
        ("SANDBOX_INSTANCE", "lite"),
        ("MAX_SANDBOXES", "5"),
        ("INDEX_SHARDS", "4"),
        ("INDEX_RETRY_INTERVAL", "3s"),
        ("CLOUDFLARE_API_TOKEN", "t"),
        ("SANDBOX_CLOUDFLARED", "/opt/cloudflared"),
        ("WARM_POOL_TARGET", "3"),
        ("SANDBOX_FILE_ROOTS", "/tmp"),
        ("CODE_PREWARM", "python, typescript"),
        ("SANDBOX_MAX_COMMANDS", "7"),
        ("PREVIEW_HOST", "preview.example.com"),
        ("SANDBOX_RUNTIME_URL", "http://127.0.0.1:1/secret/"),
    ]);
    let expected = Config {
        api_keys: ApiKeys::parse("k"),
        allowed_origins: AllowedOrigins::parse("https://app.example.com").unwrap(),
        max_upload_bytes: Some(10),
        start_timeout: Duration::from_millis(500),
        platform_timeout: Duration::from_secs(1),
        sleep_after: Some(Duration::from_secs(7200)),
        sleep_after_text: "2h".into(),
        forget_after: Duration::from_secs(3600),
        instance: Instance::Named("lite".into()),
        max_sandboxes: Some(5),
        index_shards: 4,
        index_retry: Duration::from_secs(3),
        tunnel: TunnelConfig::from_vars(|name| (name == "CLOUDFLARE_API_TOKEN").then(|| "t".into())),
        cloudflared: Some("/opt/cloudflared".into()),
        snapshots: None,
        mount: MountConfig::default(),
        pool: PoolConfig::from_vars(|name| (name == "WARM_POOL_TARGET").then(|| "3".into())).unwrap(),
        file_roots: FileRoots::parse("/tmp").unwrap(),
        code_prewarm: vec!["python".to_owned(), "typescript".to_owned()],
        limits: [("SANDBOX_MAX_COMMANDS".to_owned(), "7".to_owned())].into(),
        preview_host: PreviewDomain::parse("preview.example.com"),
        runtime_url: Some("http://127.0.0.1:1/secret".into()),
    };
    assert_eq!(set.unwrap(), expected);
}

#[test]
fn a_bad_value_names_its_variable() {
    assert_eq!(
        config(&[("SANDBOX_SLEEP_AFTER", "never")]).unwrap().sleep_after,
        None
    );
    for name in [
        "ALLOWED_ORIGINS",
        "MAX_UPLOAD_BYTES",
        "SANDBOX_START_TIMEOUT",
        "SANDBOX_PLATFORM_TIMEOUT",
        "SANDBOX_SLEEP_AFTER",
        "SANDBOX_FORGET_AFTER",
        "SANDBOX_INSTANCE",
        "MAX_SANDBOXES",
        "INDEX_SHARDS",
        "INDEX_RETRY_INTERVAL",
        "SANDBOX_FILE_ROOTS",
        "SANDBOX_MAX_COMMANDS",
        "WARM_POOL_TARGET",
    ] {
        let error = config(&[(name, "much")]).unwrap_err();
        assert_eq!(error.parts().0, 503);
        assert!(error.body().error.starts_with(name), "{error:?}");
    }
}
