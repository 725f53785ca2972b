//! An S3 server in memory, for tests. The `s3s` crate implements the protocol and its signatures,
//! this crate the store that s3fs needs.

mod list;
mod objects;
mod operations;
mod store;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use objects::{Bucket, Object};
use store::Store;

/// The one access key that the server knows.
pub const ACCESS_KEY_ID: &str = "AKIATESTSERVER";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "test/secret+of.the-server";

/// A server on a port of this machine, for as long as the process lives.
#[derive(Debug, Clone)]
pub struct S3Server {
    /// Its port, on every address of the machine.
    pub port: u16,
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
}

impl S3Server {
    /// Starts a server with these buckets, all empty.
    pub fn start(buckets: &[&str]) -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let port = listener.local_addr().expect("its address").port();
        let buckets: BTreeMap<_, _> = buckets
            .iter()
            .map(|name| ((*name).to_owned(), Bucket::default()))
            .collect();
        let buckets = Arc::new(Mutex::new(buckets));
        let store = Store::new(Arc::clone(&buckets));
        // A runtime of its own: the tests' runtimes end with each test.
        thread::spawn(move || serve(listener, store));
        Self { port, buckets }
    }

    /// The keys of a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.with(bucket, |objects| objects.keys().cloned().collect())
    }

    /// The content of an object.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.with(bucket, |objects| {
            objects.get(key).map(|object| object.content.clone())
        })
    }

    /// Makes an object as another client of the store would: without anything that s3fs notes.
    pub fn put(&self, bucket: &str, key: &str, content: impl Into<Bytes>) {
        let object = Object::new(content.into(), None, None);
        self.with(bucket, |objects| objects.insert(key.to_owned(), object));
    }

    fn with<T>(&self, bucket: &str, work: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        work(buckets.get_mut(bucket).expect("a bucket of the server"))
    }
}

fn serve(listener: TcpListener, store: Store) {
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((connection, _)) = listener.accept().await {
            let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service.clone());
            tokio::spawn(async move {
                // A client that leaves is no failure.
                let _ = serving.await;
            });
        }
    });
}
