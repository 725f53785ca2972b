//! The texts of Signature Version 4: the text that is signed, and the header with the signature.
//! The platform hashes.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The name of the algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The SHA-256 of an empty body.
pub const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The hash of a body that the signature does not cover.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A request to sign.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, percent-encoded by [`encode_path`].
    pub path: &'a str,
    /// Its query, sorted and percent-encoded by [`query`].
    pub query: &'a str,
    /// Its headers, by their names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// The SHA-256 of its body in hex, or [`UNSIGNED`].
    pub payload: &'a str,
}

/// The time and the region of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// `20130524T000000Z`
    pub time: String,
    /// `us-east-1`
    pub region: String,
}

impl Validity {
    /// From a time in the form of ISO 8601, in UTC: `2013-05-24T00:00:00.000Z`.
    pub fn new(iso: &str, region: &str) -> Self {
        let time = iso.split('.').next().unwrap_or_default().chars();
        let digits = time.filter(|c| c.is_ascii_digit() || *c == 'T');
        Self {
            time: digits.chain(['Z']).collect(),
            region: region.to_owned(),
        }
    }

    /// `20130524`
    pub fn day(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    /// The inputs from which the key of a day is derived, in this order, starting from `AWS4` and
    /// the secret.
    pub fn steps(&self) -> [&str; 4] {
        [self.day(), &self.region, "s3", "aws4_request"]
    }

    fn scope(&self) -> String {
        self.steps().join("/")
    }

    /// The text that is signed with the key of the day. `hash` is the SHA-256 of
    /// [`Request::canonical`] in hex.
    pub fn to_sign(&self, hash: &str) -> String {
        format!("{ALGORITHM}\n{}\n{}\n{hash}", self.time, self.scope())
    }

    /// The header `Authorization`.
    pub fn authorization(&self, id: &str, request: &Request, signature: &str) -> String {
        format!(
            "{ALGORITHM} Credential={id}/{}, SignedHeaders={}, Signature={signature}",
            self.scope(),
            request.signed_headers()
        )
    }
}

impl Request<'_> {
    /// The canonical form of the request.
    pub fn canonical(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.method, self.path, self.query);
        for (name, value) in self.headers {
            let tokens: Vec<&str> = value.split_ascii_whitespace().collect();
            text.push_str(name);
            text.push(':');
            text.push_str(&tokens.join(" "));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.signed_headers());
        text.push('\n');
        text.push_str(self.payload);
        text
    }

    fn signed_headers(&self) -> String {
        let names: Vec<&str> = self.headers.keys().map(String::as_str).collect();
        names.join(";")
    }
}

/// The query of these parameters, which must be sorted.
pub fn query(parameters: &[(&str, String)]) -> String {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE)))
        .collect();
    parameters.join("&")
}

/// The characters that are encoded in the values of a query: all but letters, digits and `-._~`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same in a path, which keeps its slashes.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// Percent-encodes a path for signatures.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::hex::hex;
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// The secret of Amazon's examples.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn hmac(key: &[u8], text: &str) -> Vec<u8> {
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let inner = Sha256::digest([&block.map(|b| b ^ 0x36)[..], text.as_bytes()].concat());
        Sha256::digest([&block.map(|b| b ^ 0x5c)[..], &inner].concat()).to_vec()
    }

    fn sign(request: &Request) -> (String, String) {
        let validity = Validity::new("2013-05-24T00:00:00.000Z", "us-east-1");
        let hash = hex(&Sha256::digest(request.canonical()));
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for step in validity.steps() {
            key = hmac(&key, step);
        }
        let signature = hex(&hmac(&key, &validity.to_sign(&hash)));
        let header = validity.authorization("AKIAIOSFODNN7EXAMPLE", request, &signature);
        (signature, header)
    }

    fn headers(own: &[(&str, &str)], payload: &str) -> BTreeMap<String, String> {
        let common = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", payload),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let all = own.iter().chain(&common);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The examples of "Authenticating Requests: Using the Authorization Header" in Amazon's
    /// documentation.
    #[test]
    fn examples_of_amazon() {
        let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        for (method, path, parameters, own, payload, signature) in [
            (
                "GET",
                "/test.txt",
                &[][..],
                &[("range", "bytes=0-9")][..],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "test$file.text",
                &[],
                &[
                    ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ],
                put,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                &[("lifecycle", "")],
                &[],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                &[("max-keys", "2"), ("prefix", "J")],
                &[],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect();
            let path = format!("/{}", encode_path(path.trim_start_matches('/')));
            let (headers, query) = (headers(own, payload), query(&parameters));
            let request = Request {
                method,
                path: &path,
                query: &query,
                headers: &headers,
                payload,
            };
            assert_eq!(sign(&request).0, signature, "{method} {path}?{query}");
        }
    }

    #[test]
    fn the_authorization_header() {
        let headers = headers(&[("x-amz-meta-a", "  two   words ")], UNSIGNED);
        let request = Request {
            method: "PUT",
            path: "/b/k",
            query: "",
            headers: &headers,
            payload: UNSIGNED,
        };
        assert!(request.canonical().contains("\nx-amz-meta-a:two words\n"));
        let (signature, header) = sign(&request);
        assert_eq!(
            header,
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-a, Signature={signature}"
            )
        );
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(
            encode_path("a b/é~-._+%\u{10FFFF}"),
            "a%20b/%C3%A9~-._%2B%25%F4%8F%BF%BF"
        );
        assert_eq!(utf8_percent_encode("/", VALUE).to_string(), "%2F");
    }
}
