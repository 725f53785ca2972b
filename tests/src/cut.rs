//! A proxy that breaks connections.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Bridge;

/// Forwards TCP connections to a bridge until the process ends.
#[derive(Debug)]
pub struct CutProxy {
    /// The bridge at the address of the proxy.
    pub bridge: Bridge,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepted: Arc<AtomicUsize>,
}

impl CutProxy {
    /// A proxy before a bridge of this machine.
    pub fn new(bridge: &Bridge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let target = bridge.url.trim_start_matches("http://").to_owned();
        let proxy = Self {
            bridge: Bridge::at(&format!("http://{address}"), bridge.key.clone()),
            open: Arc::default(),
            accepted: Arc::default(),
        };
        let (open, accepted) = (Arc::clone(&proxy.open), Arc::clone(&proxy.accepted));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&target).expect("the bridge");
                accepted.fetch_add(1, Relaxed);
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                    open.push(from.try_clone().expect("a copy"));
                    std::thread::spawn(move || forward(from, to));
                }
            }
        });
        proxy
    }

    /// Breaks all connections that are open. Later ones are forwarded.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

/// Forwards at once what arrives.
fn forward(mut from: TcpStream, mut to: TcpStream) {
    let mut block = vec![0; 64 * 1024];
    let mut step = || -> io::Result<bool> {
        let length = from.read(&mut block)?;
        to.write_all(block.get(..length).unwrap_or_default())?;
        Ok(length > 0)
    };
    while step().unwrap_or(false) {}
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
