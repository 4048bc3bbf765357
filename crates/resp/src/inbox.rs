//! Received bytes that are not decoded yet, shared by both decoders.

use bytes::BytesMut;

/// Room that a read finds at least half of, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// A buffer larger than this is given back as soon as nothing needs it: one large message must not make an
/// otherwise idle connection expensive for ever.
const RETAINED_BYTES_MAX: usize = 64 * 1024;

/// A byte queue: the network appends at the back, a decoder takes from the front.
///
/// Taking only moves `start`. The bytes behind it are moved to the front when at least as many have been
/// taken, so that moving costs O(1) per byte received, however little a caller takes at a time.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: BytesMut,
    /// Bytes before it have been taken.
    start: usize,
}

impl Inbox {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of memory held, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes `count` bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "took more than was received");
        self.start += count;
        if self.start == self.bytes.len() {
            self.make_compact();
        }
    }

    /// The buffer, for a read to append to.
    pub(crate) fn back(&mut self) -> &mut BytesMut {
        self.make_compact();
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 2 {
            self.bytes.reserve(READ_BYTES);
        }
        &mut self.bytes
    }

    /// Makes room for so many bytes, and for the last read to find some as well: or the buffer would double just before
    /// the end.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        self.back().reserve(bytes + READ_BYTES);
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.make_compact();
        self.bytes.extend_from_slice(bytes);
    }

    fn make_compact(&mut self) {
        let kept = self.len();
        if self.start < kept || (self.start == 0 && kept > 0) {
            return;
        }
        if self.bytes.capacity() > RETAINED_BYTES_MAX && kept <= RETAINED_BYTES_MAX / 4 {
            self.bytes = BytesMut::from(&self.bytes[self.start..]);
        } else if self.start > 0 {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(kept);
        }
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_takes_from_a_large_buffer_do_not_move_it_each_time() {
        let mut inbox = Inbox::default();
        inbox.append(&[7; 1000]);
        inbox.consume(400);
        inbox.append(&[]);
        assert_eq!(inbox.start, 400, "moving 600 bytes for 400 taken would be quadratic");
        inbox.consume(200);
        inbox.append(&[8]);
        assert_eq!(inbox.start, 0);
        assert_eq!((inbox.len(), inbox.unread()[400]), (401, 8));
    }

    #[test]
    fn a_large_buffer_is_given_back_even_when_a_little_is_left_in_it() {
        let mut inbox = Inbox::default();
        inbox.append(&vec![1; 10 << 20]);
        inbox.append(b"rest");
        inbox.consume(10 << 20);
        assert_eq!(inbox.back(), b"rest".as_slice());
        assert!(inbox.capacity() <= RETAINED_BYTES_MAX, "{}", inbox.capacity());
    }

    #[test]
    fn what_is_announced_fits_without_growing_again() {
        let mut inbox = Inbox::default();
        inbox.append(b"begun");
        inbox.make_room(10 << 20);
        let capacity = inbox.capacity();
        for _ in 0..10 << 10 {
            inbox.back().extend_from_slice(&[7; 1024]);
        }
        inbox.back();
        assert_eq!(inbox.capacity(), capacity);
        assert!(capacity < (10 << 20) + 64 * 1024, "{capacity}");
    }

    #[test]
    fn a_read_always_finds_room_and_small_remainders_do_not_grow_the_buffer() {
        let mut inbox = Inbox::default();
        for _ in 0..1000 {
            let back = inbox.back();
            assert!(back.capacity() - back.len() >= READ_BYTES / 2);
            inbox.append(&[0; 100]);
            inbox.consume(inbox.len() - 3);
        }
        assert!(inbox.capacity() <= 2 * READ_BYTES, "{}", inbox.capacity());
    }
}
