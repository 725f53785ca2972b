//! `sandbox-local` with the real bubblewrap and the real `sandboxd`, over its HTTP API.

#[cfg(test)]
mod bucket_proxy;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod network;
#[cfg(test)]
mod support;
#[cfg(test)]
mod survival;
