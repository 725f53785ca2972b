//! Classifies errors of the container platform. Pure: it knows the platform's messages, nothing
//! else.
//!
//! The platform throws plain errors without codes. The phrases are from its source and from
//! observed messages; they are matched in lower case, anywhere in the message of an error or of one
//! of its causes.

use crate::error::ApiError;

/// The kind of a failure, which decides how it is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no capacity for another container now.
    Capacity,
    /// Too many containers were requested in a short time.
    Rate,
    /// The container runs, but its port does not answer yet.
    NotReady,
    /// A retry may work.
    Transient,
    /// The container did not start: no program ran in it.
    NotStarted,
    /// The container exited.
    Exited,
    /// A retry will not work either.
    Permanent,
    /// The message has no known phrase.
    Unknown,
}

const CAPACITY: &[&str] = &[
    "there is no container instance that can be provided to this durable object",
    "there is no container instance available at this time",
    "maximum number of running container instances exceeded",
];
const RATE: &[&str] = &["you are requesting too many containers per second"];
const NOT_READY: &[&str] = &[
    "container is not listening",
    "container port not found",
    "connection refused: container port",
    "failed to verify port",
];
const NOT_STARTED: &[&str] = &["container failed to start"];
const EXITED: &[&str] = &[
    "runtime signalled the container to exit:",
    "container exited with unexpected exit code:",
];
const PERMANENT: &[&str] = &[
    "ran out of memory",
    "too many subprocesses",
    "no such image",
    "no application that matches",
    "no container application assigned",
    "did not call start",
];
const TRANSIENT: &[&str] = &[
    "network connection lost",
    "container suddenly disconnected",
    "container did not start",
    "monitor failed to find container",
    "timed out",
    "timeout",
    "the operation was aborted",
    "reset because its code was updated",
    "this script has been upgraded",
];

/// The order matters: more specific phrases come first.
const KINDS: [(Kind, &[&str]); 7] = [
    (Kind::Capacity, CAPACITY),
    (Kind::Rate, RATE),
    (Kind::NotStarted, NOT_STARTED),
    (Kind::Exited, EXITED),
    (Kind::Permanent, PERMANENT),
    (Kind::NotReady, NOT_READY),
    (Kind::Transient, TRANSIENT),
];

/// The kind of an error, from its text and those of its causes, the error itself first.
pub fn classify<'a>(texts: impl IntoIterator<Item = &'a str>) -> Kind {
    let texts: Vec<String> = texts.into_iter().map(str::to_lowercase).collect();
    let matches = |phrase: &&str| texts.iter().any(|text| text.contains(phrase));
    KINDS
        .iter()
        .find(|(_, phrases)| phrases.iter().any(matches))
        .map_or(Kind::Unknown, |(kind, _)| *kind)
}

/// The error for a client, with the platform's message.
pub fn to_api_error(kind: Kind, text: String) -> ApiError {
    match kind {
        Kind::Capacity => ApiError::Capacity(text),
        Kind::Rate => ApiError::Rate(text),
        Kind::NotReady | Kind::Transient => ApiError::Unavailable(text),
        Kind::NotStarted | Kind::Exited | Kind::Permanent | Kind::Unknown => ApiError::StartFailed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_has_its_kind_in_any_case_and_anywhere() {
        for (kind, phrases) in KINDS {
            for phrase in phrases {
                assert_eq!(classify([*phrase]), kind, "{phrase}");
                let upper = format!("Error: {}, try later", phrase.to_uppercase());
                assert_eq!(classify([upper.as_str()]), kind, "{phrase}");
            }
        }
    }

    #[test]
    fn an_error_is_also_classified_by_its_causes() {
        let texts = [
            "start failed",
            "Network connection lost.",
            "There is no container instance available at this time",
        ];
        assert_eq!(
            classify(texts),
            Kind::Capacity,
            "the more specific phrase wins, not the first message"
        );
        assert_eq!(
            classify(["start failed", "Network connection lost."]),
            Kind::Transient
        );
    }

    #[test]
    fn the_more_specific_phrase_wins() {
        assert_eq!(
            classify(["Container exited with unexpected exit code: 1 (timeout)"]),
            Kind::Exited
        );
        assert_eq!(
            classify(["the container is not listening: timed out"]),
            Kind::NotReady
        );
        assert_eq!(
            classify(["the container ran out of memory; network connection lost"]),
            Kind::Permanent
        );
    }

    #[test]
    fn unknown_messages_have_the_kind_unknown() {
        assert_eq!(classify(["something else"]), Kind::Unknown);
        assert_eq!(classify([]), Kind::Unknown);
    }

    #[test]
    fn statuses() {
        for (kind, status) in [
            (Kind::Capacity, 503),
            (Kind::Rate, 429),
            (Kind::NotReady, 503),
            (Kind::Transient, 503),
            (Kind::NotStarted, 502),
            (Kind::Exited, 502),
            (Kind::Permanent, 502),
            (Kind::Unknown, 502),
        ] {
            assert_eq!(to_api_error(kind, String::new()).parts().0, status, "{kind:?}");
        }
    }
}
