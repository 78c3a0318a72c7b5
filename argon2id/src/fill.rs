//! The passes over the memory (RFC 9106, sections 3.2 to 3.4): which block is made of which.

use argon2::{Block, Params};
use fearless_simd::Simd;

use crate::compress::{columns, compress, fetch, place, rows};

const SLICES: usize = 4;
/// How many addresses a block of them holds.
const ADDRESSES: usize = 128;
/// Argon2id's number in the input of its addresses.
const ARGON2ID: u64 = 2;

/// The memory's lanes, each of equally many blocks.
pub struct Lanes {
    pub count: usize,
    pub length: usize,
}

impl Lanes {
    pub fn new(params: &Params) -> Self {
        let count = params.p_cost() as usize;
        Self { count, length: params.block_count() / count }
    }
}

/// Fills `memory`, of which the first two blocks of each lane are there.
#[inline(always)]
pub fn fill<S: Simd>(simd: S, passes: usize, lanes: &Lanes, memory: &mut [Block]) {
    for pass in 0..passes {
        for slice in 0..SLICES {
            for lane in 0..lanes.count {
                let segment = Segment { passes, pass, slice, lane, lanes };
                if pass == 0 {
                    segment.fill::<S, false>(simd, memory);
                } else {
                    segment.fill::<S, true>(simd, memory);
                }
            }
        }
    }
}

/// What one lane has of one slice, in one pass.
struct Segment<'a> {
    passes: usize,
    pass: usize,
    slice: usize,
    lane: usize,
    lanes: &'a Lanes,
}

impl Segment<'_> {
    fn length(&self) -> usize {
        self.lanes.length / SLICES
    }

    #[inline(always)]
    fn fill<S: Simd, const XOR: bool>(&self, simd: S, memory: &mut [Block]) {
        let first = if self.pass == 0 && self.slice == 0 { 2 } else { 0 };
        let start = self.lane * self.lanes.length + self.slice * self.length();
        let mut previous = match self.slice + first {
            0 => start + self.lanes.length - 1,
            _ => start + first - 1,
        };
        // In the first half of the first pass, nothing secret says which blocks are read.
        let mut addresses =
            (self.pass == 0 && self.slice < SLICES / 2).then(|| self.addresses(memory.len()));
        let random = match &mut addresses {
            Some(addresses) => addresses.at(simd, first),
            None => memory[previous].as_ref()[0],
        };
        let mut reference = self.reference(first, random);
        for block in first..self.length() {
            let (current, next) = (start + block, block + 1);
            let address = match &mut addresses {
                Some(addresses) if next < self.length() => Some(addresses.at(simd, next)),
                _ => None,
            };
            let half = rows(simd, &memory[previous], &memory[reference]);
            columns::<S, XOR>(simd, &half, 0, &mut memory[current]);
            // The block's first word is there, and with it the way to the next reference. What
            // remains of this block is computed while that one comes from memory.
            if next < self.length() {
                let random = address.unwrap_or(memory[current].as_ref()[0]);
                reference = self.reference(next, random);
                fetch(&memory[reference]);
            }
            columns::<S, XOR>(simd, &half, 2, &mut memory[current]);
            previous = current;
        }
    }

    /// The block that the segment's `block` is made of beside its predecessor (section 3.4.2).
    #[inline(always)]
    fn reference(&self, block: usize, random: u64) -> usize {
        let lane = match self.lanes.count {
            1 => 0,
            _ if self.pass == 0 && self.slice == 0 => self.lane,
            count => (random >> 32) as usize % count,
        };
        let finished = match self.pass {
            0 => self.slice * self.length(),
            _ => self.lanes.length - self.length(),
        };
        let area = if lane == self.lane {
            finished + block - 1
        } else {
            finished - usize::from(block == 0)
        };
        let random = random & u64::from(u32::MAX);
        let square = (random * random) >> 32;
        let distance = ((area as u64 * square) >> 32) as usize;
        let oldest = match self.pass {
            0 => 0,
            _ => (self.slice + 1) % SLICES * self.length(),
        };
        let mut at = oldest + area - 1 - distance;
        if at >= self.lanes.length {
            at -= self.lanes.length;
        }
        lane * self.lanes.length + at
    }

    fn addresses(&self, blocks: usize) -> Addresses {
        let mut input = Block::new();
        let fields = [self.pass, self.lane, self.slice, blocks, self.passes].map(|n| n as u64);
        for (word, field) in fields.into_iter().chain([ARGON2ID]).enumerate() {
            input.as_mut()[place(word)] = field;
        }
        Addresses { input, block: Block::new() }
    }
}

/// The random numbers that depend on nothing but a segment's place (section 3.4.1.1).
struct Addresses {
    input: Block,
    block: Block,
}

impl Addresses {
    /// The one for `block` of the segment. They have to be asked for in turn.
    #[inline(always)]
    fn at<S: Simd>(&mut self, simd: S, block: usize) -> u64 {
        let counter = &mut self.input.as_mut()[place(6)];
        if *counter as usize * ADDRESSES <= block {
            *counter += 1;
            let mut once = Block::new();
            compress(simd, &Block::new(), &self.input, &mut once);
            compress(simd, &Block::new(), &once, &mut self.block);
        }
        self.block.as_ref()[place(block % ADDRESSES)]
    }
}
