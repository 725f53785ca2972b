//! The deployment's defaults for buckets, for requests that leave them out.

use sandbox_protocol::mount::{Credentials, Endpoint};

use crate::error::ApiError;

/// The endpoint of buckets, and the credentials for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountConfig {
    /// `R2_ACCOUNT_ID` (account id; default: none): the account whose R2 is used when a request
    /// names no endpoint.
    pub r2_endpoint: Option<Endpoint>,
    /// `R2_ACCESS_KEY_ID` and `R2_SECRET_ACCESS_KEY` (secrets, text; default: none).
    pub r2: Option<Credentials>,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (secrets, text; default: none).
    pub aws: Option<Credentials>,
}

impl MountConfig {
    /// Reads the variables that `var` knows. Errors: half of a key, or one that does not parse.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ApiError> {
        let r2_endpoint = var("R2_ACCOUNT_ID")
            .map(|account| {
                Endpoint::of_r2_account(&account).ok_or_else(|| {
                    ApiError::NotConfigured(format!("R2_ACCOUNT_ID must be an account id, not {account:?}"))
                })
            })
            .transpose()?;
        Ok(Self {
            r2: credentials(&var, "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY")?,
            aws: credentials(&var, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?,
            r2_endpoint,
        })
    }

    /// The credentials for a bucket of R2, or for one elsewhere. Each serves as the fallback of the
    /// other.
    pub fn credentials(&self, is_r2: bool) -> Option<&Credentials> {
        if is_r2 {
            self.r2.as_ref().or(self.aws.as_ref())
        } else {
            self.aws.as_ref().or(self.r2.as_ref())
        }
    }
}

/// The key in two variables. Errors: half of one, or one that does not parse.
pub(super) fn credentials(
    var: impl Fn(&str) -> Option<String>,
    id_var: &str,
    secret_var: &str,
) -> Result<Option<Credentials>, ApiError> {
    match (var(id_var), var(secret_var)) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(ApiError::NotConfigured(format!(
            "{secret_var} is missing, and {id_var} is set"
        ))),
        (None, Some(_)) => Err(ApiError::NotConfigured(format!(
            "{id_var} is missing, and {secret_var} is set"
        ))),
        // The parser's error would repeat neither value, but it names the fields of a request.
        (Some(id), Some(secret)) => Credentials::parse(&id, &secret).map(Some).map_err(|_| {
            ApiError::NotConfigured(format!(
                "{id_var} and {secret_var} must be printable ASCII without spaces and ':'"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<MountConfig, String> {
        MountConfig::from_vars(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .map_err(|e| {
            assert_eq!(e.parts().0, 503);
            e.body().error
        })
    }

    #[test]
    fn each_store_has_its_key_and_one_stands_in_for_the_other() {
        let r2 = [("R2_ACCESS_KEY_ID", "r"), ("R2_SECRET_ACCESS_KEY", "s")];
        let aws = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "t")];
        let id = |config: &MountConfig, is_r2| {
            config
                .credentials(is_r2)
                .map(|credentials| credentials.id().to_owned())
        };
        let both = config(&[r2, aws].concat()).unwrap();
        assert_eq!(
            (id(&both, true).as_deref(), id(&both, false).as_deref()),
            (Some("r"), Some("a"))
        );
        assert_eq!(id(&config(&r2).unwrap(), false).as_deref(), Some("r"));
        assert_eq!(id(&config(&aws).unwrap(), true).as_deref(), Some("a"));
        assert_eq!(config(&[]).unwrap(), MountConfig::default());
        let account = config(&[("R2_ACCOUNT_ID", "0a")]).unwrap().r2_endpoint.unwrap();
        assert_eq!(account.as_str(), "https://0a.r2.cloudflarestorage.com");
    }

    #[test]
    fn errors_name_the_variable_and_contain_no_secret() {
        for (vars, word) in [
            (
                &[("R2_ACCESS_KEY_ID", "r")][..],
                "R2_SECRET_ACCESS_KEY is missing",
            ),
            (
                &[("AWS_SECRET_ACCESS_KEY", "hush")],
                "AWS_ACCESS_KEY_ID is missing",
            ),
            (
                &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hush hush")],
                "printable ASCII",
            ),
            (&[("R2_ACCOUNT_ID", "a/b")], "R2_ACCOUNT_ID must be"),
        ] {
            let text = config(vars).unwrap_err();
            assert!(text.contains(word) && !text.contains("hush"), "{text}");
        }
    }
}
