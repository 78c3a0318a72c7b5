//! The compression function G (RFC 9106, section 3.5) on vectors of eight words.
//!
//! G sees a block's 128 words as rows of 16, and as columns of 16 that take two neighbours from
//! each row. Word 16r + 2j + s is the one of row r, column j and side s. Within a row, (j, s) says
//! where a word stands in the permutation P, within a column (r, s) does. P computes with words
//! that lie four apart, then turns each four of neighbours.
//!
//! So in memory a vector holds the eight words that share the upper two bits of r and of j, in
//! the order of the last bit of r, the last of j, and s. Then both rows and columns find what
//! they compute with in whole vectors, turn the words within a vector only, and nothing has to
//! be transposed between the two.

use argon2::Block;
use fearless_simd::{Simd, SimdBase, SimdFrom, u64x8};

/// Where this order has the word that RFC 9106 has at `word`.
pub fn place(word: usize) -> usize {
    let (upper_r, r, upper_j, rest) = (word >> 5, word >> 4 & 1, word >> 2 & 3, word & 3);
    upper_r << 5 | upper_j << 3 | r << 2 | rest
}

/// A block in memory.
type Vectors = [[u64; 8]; 16];

fn vectors(block: &Block) -> &Vectors {
    block.as_ref().as_chunks().0.try_into().expect("a block is 128 words")
}

fn vectors_mut(block: &mut Block) -> &mut Vectors {
    block.as_mut().as_chunks_mut().0.try_into().expect("a block is 128 words")
}

/// A block in registers, as far as there are enough: by the upper bits of r, then those of j.
type Matrix<S> = [[u64x8<S>; 4]; 4];

/// G between its two halves: the inputs' sum, and that with its rows permuted.
pub struct Half<S: Simd> {
    sum: Matrix<S>,
    permuted: Matrix<S>,
}

/// The rows of the sum of `x` and `y` whose upper bits are `r`.
#[inline(always)]
fn row<S: Simd>(simd: S, x: &Vectors, y: &Vectors, r: usize) -> [u64x8<S>; 4] {
    let mut row = [u64x8::splat(simd, 0); 4];
    for (j, sum) in row.iter_mut().enumerate() {
        *sum = u64x8::simd_from(simd, x[4 * r + j]) ^ u64x8::simd_from(simd, y[4 * r + j]);
    }
    row
}

/// The first half of G of `x` and `y`.
#[inline(always)]
pub fn rows<S: Simd>(simd: S, x: &Block, y: &Block) -> Half<S> {
    let (x, y) = (vectors(x), vectors(y));
    let sum = [row(simd, x, y, 0), row(simd, x, y, 1), row(simd, x, y, 2), row(simd, x, y, 3)];
    let [mut a, mut b, mut c, mut d] = transposed(sum);
    mix(simd, &mut a, &mut b, &mut c, &mut d);
    for i in 0..4 {
        b[i] = along_row::<S, 1>(simd, b[i]);
        c[i] = along_row::<S, 2>(simd, c[i]);
        d[i] = along_row::<S, 3>(simd, d[i]);
    }
    mix(simd, &mut a, &mut b, &mut c, &mut d);
    for i in 0..4 {
        b[i] = along_row::<S, 3>(simd, b[i]);
        c[i] = along_row::<S, 2>(simd, c[i]);
        d[i] = along_row::<S, 1>(simd, d[i]);
    }
    Half { sum, permuted: transposed([a, b, c, d]) }
}

/// The second half of G, for the four columns whose upper bits are `j` and `j + 1`, into `output`:
/// in place of what it holds, or with `XOR` on top of it.
#[inline(always)]
pub fn columns<S: Simd, const XOR: bool>(simd: S, half: &Half<S>, j: usize, output: &mut Block) {
    let [a, b, c, d] = &half.permuted;
    let (mut a, mut b) = ([a[j], a[j + 1]], [b[j], b[j + 1]]);
    let (mut c, mut d) = ([c[j], c[j + 1]], [d[j], d[j + 1]]);
    mix(simd, &mut a, &mut b, &mut c, &mut d);
    for i in 0..2 {
        b[i] = along_column_once(simd, b[i]);
        c[i] = along_column_twice(simd, c[i]);
        d[i] = along_column_thrice(simd, d[i]);
    }
    mix(simd, &mut a, &mut b, &mut c, &mut d);
    let output = vectors_mut(output);
    for i in 0..2 {
        b[i] = along_column_thrice(simd, b[i]);
        c[i] = along_column_twice(simd, c[i]);
        d[i] = along_column_once(simd, d[i]);
        for (r, word) in [a[i], b[i], c[i], d[i]].into_iter().enumerate() {
            let output = &mut output[4 * r + j + i];
            let mut word = word ^ half.sum[r][j + i];
            if XOR {
                word ^= u64x8::simd_from(simd, *output);
            }
            *output = word.into();
        }
    }
}

/// All of G.
#[inline(always)]
pub fn compress<S: Simd>(simd: S, x: &Block, y: &Block, output: &mut Block) {
    let half = rows(simd, x, y);
    columns::<S, false>(simd, &half, 0, output);
    columns::<S, false>(simd, &half, 2, output);
}

/// Reads a word of each cache line, so that the whole block is on its way.
#[inline(always)]
pub fn fetch(block: &Block) {
    let words = vectors(block).iter().fold(0, |sum, vector| sum ^ vector[0]);
    std::hint::black_box(words);
}

#[inline(always)]
fn transposed<S: Simd>([a, b, c, d]: Matrix<S>) -> Matrix<S> {
    [
        [a[0], b[0], c[0], d[0]],
        [a[1], b[1], c[1], d[1]],
        [a[2], b[2], c[2], d[2]],
        [a[3], b[3], c[3], d[3]],
    ]
}

/// GB of section 3.6, on N times eight words at once, so that one waits less for another.
#[inline(always)]
fn mix<S: Simd, const N: usize>(
    simd: S,
    a: &mut [u64x8<S>; N],
    b: &mut [u64x8<S>; N],
    c: &mut [u64x8<S>; N],
    d: &mut [u64x8<S>; N],
) {
    step::<S, N, 32>(simd, a, b, d);
    step::<S, N, 24>(simd, c, d, b);
    step::<S, N, 16>(simd, a, b, d);
    step::<S, N, 63>(simd, c, d, b);
}

/// A quarter of GB: `x` += `y` + twice the product of their lower halves, then `z` is rotated.
#[inline(always)]
fn step<S: Simd, const N: usize, const RIGHT: u32>(
    simd: S,
    x: &mut [u64x8<S>; N],
    y: &[u64x8<S>; N],
    z: &mut [u64x8<S>; N],
) {
    let lower = u64x8::splat(simd, u64::from(u32::MAX));
    for i in 0..N {
        let product = (x[i] & lower) * (y[i] & lower);
        x[i] = x[i] + y[i] + (product + product);
    }
    for i in 0..N {
        z[i] ^= x[i];
        z[i] = (z[i] >> RIGHT) | (z[i] << (64 - RIGHT));
    }
}

/// Turns the four (j, s) of each row by `N`.
#[inline(always)]
fn along_row<S: Simd, const N: usize>(simd: S, words: u64x8<S>) -> u64x8<S> {
    let (even, odd) = simd.split_u64x8(words);
    simd.combine_u64x4(simd.slide_u64x4::<N>(even, even), simd.slide_u64x4::<N>(odd, odd))
}

/// Turns the four (r, s) of each column by two: even rows against odd ones.
#[inline(always)]
fn along_column_twice<S: Simd>(simd: S, words: u64x8<S>) -> u64x8<S> {
    let (even, odd) = simd.split_u64x8(words);
    simd.combine_u64x4(odd, even)
}

/// The same by one.
#[inline(always)]
fn along_column_once<S: Simd>(simd: S, words: u64x8<S>) -> u64x8<S> {
    simd.slide_within_blocks_u64x8::<1>(words, along_column_twice(simd, words))
}

/// The same by three.
#[inline(always)]
fn along_column_thrice<S: Simd>(simd: S, words: u64x8<S>) -> u64x8<S> {
    simd.slide_within_blocks_u64x8::<1>(along_column_twice(simd, words), words)
}
