//! Calls whose arguments and results do not fit the machine's five argument registers and one result register.

use crate::{Input, Output};

/// More than a register, more than two, and parts of every width.
#[derive(Clone, Copy, PartialEq)]
struct Aggregate {
    a: u64,
    b: u128,
    c: u16,
    d: u8,
    e: i32,
    f: bool,
}

impl Aggregate {
    fn read(input: &mut Input<'_>) -> Self {
        Self {
            a: input.u64(),
            b: input.u128(),
            c: input.u16(),
            d: input.u8(),
            e: input.i32(),
            f: input.u8() & 1 == 1,
        }
    }

    fn put(self, out: &mut Output) {
        out.put((self.a, (self.b, (self.c, (self.d, (self.e, self.f))))));
    }
}

#[inline(never)]
fn five(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    a.wrapping_mul(3)
        ^ b.wrapping_mul(5)
        ^ c.wrapping_mul(7)
        ^ d.wrapping_mul(11)
        ^ e.wrapping_mul(13)
}

#[inline(never)]
fn six(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
    five(a, b, c, d, e).wrapping_mul(17) ^ f
}

#[inline(never)]
fn twelve(
    a: u8,
    b: i8,
    c: u16,
    d: i16,
    e: u32,
    f: i32,
    g: u64,
    h: i64,
    i: u128,
    j: i128,
    k: bool,
    l: char,
) -> (i128, u64) {
    let small = i128::from(a) - i128::from(b) + i128::from(c) - i128::from(d);
    let middle = i128::from(e) * 3 - i128::from(f) * 5 + i128::from(g) - i128::from(h);
    let wide = small
        .wrapping_add(middle)
        .wrapping_add(i as i128)
        .wrapping_sub(j);
    (if k { wide } else { !wide }, u64::from(u32::from(l)) << 7)
}

#[inline(never)]
fn mixed(x: u128, a: Aggregate, y: &u64, slice: &[u8], z: [u16; 5], tail: Option<u128>) -> u64 {
    let sum = slice.iter().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let rest = z.iter().map(|word| u64::from(*word)).sum::<u64>() ^ tail.unwrap_or(9) as u64;
    (x as u64)
        ^ (a.b as u64)
        ^ a.a.rotate_left(u32::from(a.d))
        ^ y.wrapping_mul(u64::from(a.c))
        ^ sum
        ^ rest
        ^ (a.e as u64)
}

pub(super) fn many_arguments(input: &mut Input<'_>, out: &mut Output) {
    let v: [u64; 6] = [
        input.u64(),
        input.u64(),
        input.u64(),
        input.u64(),
        input.u64(),
        input.u64(),
    ];
    out.put(five(v[0], v[1], v[2], v[3], v[4]));
    out.put(six(v[0], v[1], v[2], v[3], v[4], v[5]));
    out.put(six(v[5], v[4], v[3], v[2], v[1], v[0]));
    let letter = char::from_u32(v[5] as u32 % 0xd800).unwrap_or('?');
    let wide = u128::from(v[0]) << 64 | u128::from(v[1]);
    out.put(twelve(
        v[0] as u8,
        v[1] as i8,
        v[2] as u16,
        v[3] as i16,
        v[4] as u32,
        v[5] as i32,
        v[0],
        v[1] as i64,
        wide,
        !wide as i128,
        v[2] & 1 == 1,
        letter,
    ));
    let a = Aggregate::read(input);
    out.put(mixed(
        wide,
        a,
        &v[3],
        &v[4].to_be_bytes(),
        [1, 2, v[0] as u16, 4, v[1] as u16],
        (v[2] & 2 == 2).then_some(wide),
    ));
}

#[inline(never)]
fn turned(a: Aggregate, by: u32) -> Aggregate {
    Aggregate {
        a: a.a.rotate_left(by),
        b: a.b.rotate_right(by),
        c: a.c.wrapping_add(by as u16),
        d: !a.d,
        e: a.e.wrapping_neg(),
        f: !a.f,
    }
}

#[inline(never)]
fn pair_of(a: Aggregate, b: Aggregate) -> (Aggregate, [Aggregate; 2]) {
    (if a.a > b.a { a } else { b }, [b, a])
}

pub(super) fn aggregates(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, by) = (
        Aggregate::read(input),
        Aggregate::read(input),
        u32::from(input.u8()) % 64,
    );
    turned(a, by).put(out);
    let (larger, [first, second]) = pair_of(turned(a, by), b);
    larger.put(out);
    first.put(out);
    second.put(out);
    out.put(turned(turned(a, by), 64 - by) == a);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Failure {
    Zero,
    Wide { by: u128 },
    Two(u8, u64),
}

#[inline(never)]
fn fallible(a: u128, b: u128, c: u8) -> Result<(u128, u64), Failure> {
    match c % 4 {
        0 => a
            .checked_div(b)
            .map(|quotient| (quotient, b as u64))
            .ok_or(Failure::Zero),
        1 => a
            .checked_mul(b)
            .map(|product| (product, c.into()))
            .ok_or(Failure::Wide { by: a ^ b }),
        2 => Err(Failure::Two(c, a as u64)),
        _ => Ok((a.wrapping_sub(b), u64::MAX)),
    }
}

#[inline(never)]
fn chained(a: u128, b: u128, c: u8) -> Result<u128, Failure> {
    let (x, y) = fallible(a, b, c)?;
    let (z, _) = fallible(x, u128::from(y), c.wrapping_add(1))?;
    Ok(x ^ z)
}

pub(super) fn results(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, c) = (input.u128(), input.u128(), input.u8());
    for (a, b) in [(a, b), (a >> 70, b >> 66), (a, 0)] {
        for result in [
            fallible(a, b, c).map(|(x, y)| x ^ u128::from(y)),
            chained(a, b, c),
        ] {
            match result {
                Ok(value) => out.put((0_u8, value)),
                Err(Failure::Zero) => out.put(1_u8),
                Err(Failure::Wide { by }) => out.put((2_u8, by)),
                Err(Failure::Two(x, y)) => out.put((3_u8, (x, y))),
            }
        }
    }
}

trait Shape {
    fn measure(&self, a: u64, b: u64, c: u64, d: u64, e: u128, f: u8) -> (u128, u64);
    fn grown(&self, by: u64) -> Box<dyn Shape>;
}

struct Square(u64);
struct Circle {
    radius: u64,
    colour: [u8; 3],
}

impl Shape for Square {
    #[inline(never)]
    fn measure(&self, a: u64, b: u64, c: u64, d: u64, e: u128, f: u8) -> (u128, u64) {
        (
            u128::from(self.0) * u128::from(a) ^ e,
            b ^ c.wrapping_mul(d) ^ u64::from(f),
        )
    }
    fn grown(&self, by: u64) -> Box<dyn Shape> {
        Box::new(Self(self.0.wrapping_add(by)))
    }
}

impl Shape for Circle {
    #[inline(never)]
    fn measure(&self, a: u64, b: u64, c: u64, d: u64, e: u128, f: u8) -> (u128, u64) {
        (
            e.wrapping_mul(u128::from(self.radius)),
            a.wrapping_sub(b) ^ c ^ d ^ u64::from(self.colour[usize::from(f) % 3]),
        )
    }
    fn grown(&self, by: u64) -> Box<dyn Shape> {
        if by & 1 == 1 {
            Box::new(Square(self.radius))
        } else {
            Box::new(Self {
                radius: self.radius ^ by,
                colour: [1, 2, by as u8],
            })
        }
    }
}

pub(super) fn trait_objects(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, wide, f) = (input.u64(), input.u64(), input.u128(), input.u8());
    let mut shapes: Vec<Box<dyn Shape>> = vec![
        Box::new(Square(a)),
        Box::new(Circle {
            radius: b,
            colour: [f, 7, 9],
        }),
    ];
    let grown: Vec<_> = shapes.iter().map(|shape| shape.grown(a ^ b)).collect();
    shapes.extend(grown);
    for shape in &shapes {
        out.put(shape.measure(a, b, a ^ b, a & b, wide, f));
    }
}

pub(super) fn closures(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, c, d) = (input.u64(), input.u128(), input.u16(), input.array::<40>());
    let mut counted = 0_u64;
    let mut count = |x: u64, y: u128, z: u16, v: u64, w: u64| {
        counted = counted.wrapping_add(x ^ u64::from(z) ^ v ^ w);
        (y ^ b, counted)
    };
    out.put(count(a, b, c, 1, 2));
    out.put(count(!a, !b, !c, 3, 4));
    let boxed: Vec<Box<dyn Fn(u64, u64, u64, u64, u64) -> u128>> = vec![
        Box::new(move |p, q, r, s, t| u128::from(a ^ p ^ q) << 64 | u128::from(r ^ s ^ t)),
        Box::new(move |p, q, r, s, t| b ^ u128::from(p.wrapping_mul(q) ^ r ^ s ^ t)),
        Box::new(move |p, q, _, _, t| {
            u128::from(d[p as usize % 40]) + u128::from(q) + u128::from(t)
        }),
    ];
    for closure in &boxed {
        out.put(closure(a, b as u64, c.into(), counted, 5));
    }
}

#[inline(never)]
fn ackermann_like(depth: u32, a: u64, b: u128, c: u64, d: u64, e: u64) -> (u128, u64) {
    if depth == 0 {
        return (b ^ u128::from(a), c ^ d ^ e);
    }
    // Both results are needed after the second call: its area must not be the first one's.
    let (x, y) = ackermann_like(
        depth - 1,
        b as u64,
        b.rotate_left(9) ^ u128::from(e),
        d,
        e,
        a,
    );
    let (z, w) = ackermann_like(depth - 1, y, x, c ^ y, d.wrapping_add(1), e);
    (x.wrapping_sub(z), y.wrapping_mul(3) ^ w)
}

pub(super) fn recursion(input: &mut Input<'_>, out: &mut Output) {
    let (depth, a, b, c) = (
        u32::from(input.u8()) % 6,
        input.u64(),
        input.u128(),
        input.u64(),
    );
    out.put(ackermann_like(depth, a, b, c, a ^ c, a & c));
}

type Seven = fn(u64, u64, u64, u64, u64, u64, u128) -> (u64, u64);

#[inline(never)]
fn seven_one(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u128) -> (u64, u64) {
    (a ^ b ^ c ^ (g as u64), d.wrapping_mul(e) ^ f)
}

#[inline(never)]
fn seven_two(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u128) -> (u64, u64) {
    (
        a.wrapping_sub(f),
        (b | c).wrapping_add(d & e) ^ ((g >> 64) as u64),
    )
}

pub(super) fn function_pointers(input: &mut Input<'_>, out: &mut Output) {
    let (which, a, b, g) = (input.u8(), input.u64(), input.u64(), input.u128());
    let table: [Seven; 2] = [seven_one, seven_two];
    out.put(table[usize::from(which) % 2](a, b, 3, 4, 5, 6, g));
    let small: [fn(u64) -> u64; 3] = [u64::swap_bytes, |x| x.wrapping_mul(x), u64::reverse_bits];
    out.put(small[usize::from(which) % 3](a));
}

/// Calls as arguments of calls: the inner results lie in the area that the outer call uses next.
pub(super) fn nested(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, c) = (input.u64(), input.u64(), input.u128());
    let inner = |x, y| six(x, y, x ^ y, x & y, x | y, 1);
    out.put(six(
        inner(a, b),
        inner(b, a),
        five(a, b, a, b, a),
        inner(inner(a, 1), b),
        a,
        inner(a, a),
    ));
    let first = seven_one(a, b, 1, 2, 3, 4, c);
    let second = seven_two(first.0, first.1, b, a, 5, first.0, c ^ u128::from(first.1));
    out.put(seven_one(
        second.0,
        first.0,
        second.1,
        first.1,
        a,
        b,
        u128::from(second.0) << 64 | u128::from(first.0),
    ));
    out.put((first, second));
}
