//! The images of a context's results that are larger than `LARGE_IMAGE`: `display::bundle` stores them
//! here, for clients that ask for them by URL. The oldest are dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::quota::{BufferPermit, Buffers};

/// The bytes of all images of a context.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The images of a context.
#[derive(Debug)]
pub struct Images {
    kept: Mutex<Kept>,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    bytes: usize,
    images: VecDeque<Image>,
}

#[derive(Debug)]
struct Image {
    number: u64,
    media_type: String,
    content: Bytes,
    _permit: BufferPermit,
}

impl Images {
    /// No images yet. They count in `buffers`.
    pub fn new(buffers: Buffers) -> Self {
        Self {
            kept: Mutex::default(),
            buffers,
        }
    }

    /// Keeps an image, as a kernel gives it: text for SVG, otherwise base64. Returns its number, or `None`
    /// if there is no room for it.
    pub fn keep(&self, media_type: &str, content: &str) -> Option<u64> {
        let content: Bytes = if media_type == "image/svg+xml" {
            content.to_owned().into()
        } else {
            let packed: String = content.split_ascii_whitespace().collect();
            STANDARD.decode(packed).ok()?.into()
        };
        let permit = self.buffers.take(content.len() as u64).ok()?;
        if content.len() > MAX_BYTES {
            return None;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        kept.bytes += content.len();
        let number = kept.last;
        kept.images.push_back(Image {
            number,
            media_type: media_type.to_owned(),
            content,
            _permit: permit,
        });
        while kept.bytes > MAX_BYTES
            && let Some(first) = kept.images.pop_front()
        {
            kept.bytes -= first.content.len();
        }
        Some(number)
    }

    /// An image that is still there.
    pub fn find(&self, number: u64, media_type: &str) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |image: &&Image| image.number == number && image.media_type == media_type;
        kept.images
            .iter()
            .find(is_wanted)
            .map(|image| image.content.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_images_are_dropped() {
        let images = Images::new(Buffers::default());
        let first = images.keep("image/png", "AA\nECAw==\n").unwrap();
        assert_eq!(images.find(first, "image/png").unwrap(), [0, 1, 2, 3][..]);
        assert_eq!(images.find(first, "image/jpeg"), None);
        let svg = images.keep("image/svg+xml", "<svg/>").unwrap();
        assert_eq!(images.find(svg, "image/svg+xml").unwrap(), "<svg/>");
        assert_eq!(images.keep("image/png", "%%%%"), None);
        images.keep("image/svg+xml", &" ".repeat(MAX_BYTES - 1)).unwrap();
        assert_eq!(
            (images.find(first, "image/png"), images.find(svg, "image/svg+xml")),
            (None, None)
        );
        assert_eq!(images.keep("image/svg+xml", &" ".repeat(MAX_BYTES + 1)), None);
    }
}
