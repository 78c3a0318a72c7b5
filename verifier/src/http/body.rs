//! Reads bodies up to a bound, before and after decompression.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::FetchError;

/// Reads `body`, of at most `longest` bytes as they came and as they are unpacked.
pub async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    longest: usize,
) -> Result<Vec<u8>, FetchError> {
    let hint = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if hint > longest {
        return Err(FetchError::TooLarge);
    }
    let mut sink = match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None => Sink::Plain(Bounded::new(longest, hint)),
        Some(encoding) if encoding.eq_ignore_ascii_case(b"identity") => {
            Sink::Plain(Bounded::new(longest, hint))
        }
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => {
            Sink::Gzip(Box::new(GzDecoder::new(Bounded::new(longest, hint))))
        }
        Some(_) => return Err(FetchError::Invalid("the content encoding")),
    };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            sink.write(&data)?;
        }
    }
    sink.finish()
}

enum Sink {
    Plain(Bounded),
    Gzip(Box<GzDecoder<Bounded>>),
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> Result<(), FetchError> {
        match self {
            Self::Plain(bounded) => bounded.write_all(data).map_err(|error| failure(&error)),
            Self::Gzip(decoder) => decoder.write_all(data).map_err(|error| failure(&error)),
        }
    }

    fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes),
            Self::Gzip(decoder) => {
                decoder.finish().map(|bounded| bounded.bytes).map_err(|error| failure(&error))
            }
        }
    }
}

fn failure(error: &io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => FetchError::TooLarge,
        _ => FetchError::Invalid("the compression"),
    }
}

/// Bytes that must not become too many.
struct Bounded {
    bytes: Vec<u8>,
    longest: usize,
}

impl Bounded {
    fn new(longest: usize, hint: usize) -> Self {
        Self { bytes: Vec::with_capacity(hint), longest }
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.longest - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn unpack(packed: &[u8], longest: usize) -> Result<Vec<u8>, FetchError> {
        let mut sink = Sink::Gzip(Box::new(GzDecoder::new(Bounded::new(longest, 0))));
        for chunk in packed.chunks(7) {
            sink.write(chunk)?;
        }
        sink.finish()
    }

    #[test]
    fn what_unpacks_to_too_much_is_cut_off() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'a'; 1 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 4096);
        assert_eq!(unpack(&packed, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(unpack(&packed, (1 << 20) - 1), Err(FetchError::TooLarge));
        assert_eq!(
            unpack(&packed[..packed.len() - 9], 1 << 20),
            Err(FetchError::Invalid("the compression"))
        );
        assert_eq!(unpack(b"not gzip at all", 100), Err(FetchError::Invalid("the compression")));
    }

    #[test]
    fn plain_bodies_are_bounded_too() {
        let mut sink = Sink::Plain(Bounded::new(5, 0));
        assert!(sink.write(b"abc").is_ok());
        assert_eq!(sink.write(b"abc"), Err(FetchError::TooLarge));
    }
}
