//! `SANDBOX_API_KEY`: the keys of the deployment.

use std::cell::OnceCell;

/// The keys that callers may present. The first one signs tokens; several at a time let an operator
/// replace one without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key itself.
    pub text: String,
    /// Its digest, computed when the first caller presents one.
    pub digest: OnceCell<[u8; 32]>,
}

impl ApiKeys {
    /// Reads keys that are separated by commas.
    pub fn parse(text: &str) -> Self {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(
            keys.map(|key| ApiKey {
                text: key.to_owned(),
                digest: OnceCell::new(),
            })
            .collect(),
        )
    }

    /// The key that signs; `None` when there is no key.
    pub fn first(&self) -> Option<&ApiKey> {
        self.0.first()
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.iter()
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_separated_by_commas() {
        let keys =
            |text| -> Vec<String> { ApiKeys::parse(text).iter().map(|key| key.text.clone()).collect() };
        assert_eq!(keys("a"), ["a"]);
        assert_eq!(keys("new, old,"), ["new", "old"]);
        assert_eq!(keys(" , "), [""; 0]);
        assert!(!format!("{:?}", ApiKeys::parse("hush")).contains("hush"));
    }
}
