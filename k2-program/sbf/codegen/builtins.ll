; The functions that the legalised program calls. Linked after the optimiser ran, so that it cannot turn a loop or a chain of
; instructions back into a call of what it implements; `no-builtins` keeps the later passes from doing so.

; ---- syscalls and compiler_builtins ----------------------------------------------------------------------------------
; The comparisons of compiler_builtins answer with an isize.

declare void @sol_memmove_(ptr, ptr, i64)
declare void @sol_memset_(ptr, i64, i64)
declare void @sol_memcmp_(ptr, ptr, i64, ptr)
declare void @abort()

declare double @__adddf3(double, double)
declare double @__subdf3(double, double)
declare double @__muldf3(double, double)
declare double @__divdf3(double, double)
declare i64 @__eqdf2(double, double)
declare i64 @__gedf2(double, double)
declare i64 @__gtdf2(double, double)
declare i64 @__ledf2(double, double)
declare i64 @__ltdf2(double, double)
declare i64 @__unorddf2(double, double)
declare i64 @__fixunsdfdi(double)
declare i64 @__fixdfdi(double)
declare double @__floatundidf(i64)
declare double @__floatdidf(i64)

; ---- the end ---------------------------------------------------------------------------------------------------------

define void @__sbf_trap() #0 {
  call void @abort()
  unreachable
}

; ---- memory ----------------------------------------------------------------------------------------------------------

; Not sol_memcpy_: LLVM may copy a value onto itself (LangRef, llvm.memcpy: "either equal or non-overlapping"), and that
; syscall refuses any overlap. sol_memmove_ costs the same and does not mind.
define ptr @memcpy(ptr %to, ptr %from, i64 %length) #0 {
  call void @sol_memmove_(ptr %to, ptr %from, i64 %length)
  ret ptr %to
}

define ptr @memmove(ptr %to, ptr %from, i64 %length) #0 {
  call void @sol_memmove_(ptr %to, ptr %from, i64 %length)
  ret ptr %to
}

; C takes the byte as an int and uses its low 8 bits; the syscall takes it as it comes.
define ptr @memset(ptr %to, i32 %value, i64 %length) #0 {
  %wide = zext i32 %value to i64
  %byte = and i64 %wide, 255
  call void @sol_memset_(ptr %to, i64 %byte, i64 %length)
  ret ptr %to
}

define i32 @memcmp(ptr %a, ptr %b, i64 %length) #0 {
  %slot = alloca i32, align 8
  store i32 0, ptr %slot
  call void @sol_memcmp_(ptr %a, ptr %b, i64 %length, ptr %slot)
  %order = load i32, ptr %slot
  ret i32 %order
}

define i32 @bcmp(ptr %a, ptr %b, i64 %length) #0 {
  %order = call i32 @memcmp(ptr %a, ptr %b, i64 %length)
  ret i32 %order
}

; ---- multiplication --------------------------------------------------------------------------------------------------

; Long multiplication by 32-bit digits for the low halves; of the high halves only what stays below 2^128. No sum here
; overflows 64 bits: (2^32-1)^2 + 2 * (2^32-1) = 2^64 - 1.
define i128 @__sbf_mul128(i128 %a, i128 %b) #0 {
  %a.low = trunc i128 %a to i64
  %a.shifted = lshr i128 %a, 64
  %a.high = trunc i128 %a.shifted to i64
  %b.low = trunc i128 %b to i64
  %b.shifted = lshr i128 %b, 64
  %b.high = trunc i128 %b.shifted to i64

  %a0 = and i64 %a.low, 4294967295
  %a1 = lshr i64 %a.low, 32
  %b0 = and i64 %b.low, 4294967295
  %b1 = lshr i64 %b.low, 32
  %p00 = mul i64 %a0, %b0
  %p01 = mul i64 %a0, %b1
  %p10 = mul i64 %a1, %b0
  %p11 = mul i64 %a1, %b1

  %carry = lshr i64 %p00, 32
  %p01.low = and i64 %p01, 4294967295
  %p01.high = lshr i64 %p01, 32
  %m0 = add i64 %carry, %p10
  %middle = add i64 %m0, %p01.low
  %middle.high = lshr i64 %middle, 32

  %low = mul i64 %a.low, %b.low
  %h0 = add i64 %p11, %p01.high
  %h1 = add i64 %h0, %middle.high
  %cross0 = mul i64 %a.low, %b.high
  %cross1 = mul i64 %a.high, %b.low
  %h2 = add i64 %h1, %cross0
  %high = add i64 %h2, %cross1

  %low.wide = zext i64 %low to i128
  %high.wide = zext i64 %high to i128
  %high.placed = shl i128 %high.wide, 64
  %product = or i128 %high.placed, %low.wide
  ret i128 %product
}

; Long multiplication by 64-bit digits, modulo 2^256.
define i256 @__sbf_mul256(i256 %a, i256 %b) #0 {
  %a0.shifted = lshr i256 %a, 0
  %a0.digit = trunc i256 %a0.shifted to i64
  %a0 = zext i64 %a0.digit to i128
  %a1.shifted = lshr i256 %a, 64
  %a1.digit = trunc i256 %a1.shifted to i64
  %a1 = zext i64 %a1.digit to i128
  %a2.shifted = lshr i256 %a, 128
  %a2.digit = trunc i256 %a2.shifted to i64
  %a2 = zext i64 %a2.digit to i128
  %a3.shifted = lshr i256 %a, 192
  %a3.digit = trunc i256 %a3.shifted to i64
  %a3 = zext i64 %a3.digit to i128

  %b0.shifted = lshr i256 %b, 0
  %b0.digit = trunc i256 %b0.shifted to i64
  %b0 = zext i64 %b0.digit to i128
  %b1.shifted = lshr i256 %b, 64
  %b1.digit = trunc i256 %b1.shifted to i64
  %b1 = zext i64 %b1.digit to i128
  %b2.shifted = lshr i256 %b, 128
  %b2.digit = trunc i256 %b2.shifted to i64
  %b2 = zext i64 %b2.digit to i128
  %b3.shifted = lshr i256 %b, 192
  %b3.digit = trunc i256 %b3.shifted to i64
  %b3 = zext i64 %b3.digit to i128

  %p00 = call i128 @__sbf_mul128(i128 %a0, i128 %b0)
  %w00 = zext i128 %p00 to i256
  %t00 = shl i256 %w00, 0
  %s00 = add i256 0, %t00
  %p01 = call i128 @__sbf_mul128(i128 %a0, i128 %b1)
  %w01 = zext i128 %p01 to i256
  %t01 = shl i256 %w01, 64
  %s01 = add i256 %s00, %t01
  %p02 = call i128 @__sbf_mul128(i128 %a0, i128 %b2)
  %w02 = zext i128 %p02 to i256
  %t02 = shl i256 %w02, 128
  %s02 = add i256 %s01, %t02
  %p03 = call i128 @__sbf_mul128(i128 %a0, i128 %b3)
  %w03 = zext i128 %p03 to i256
  %t03 = shl i256 %w03, 192
  %s03 = add i256 %s02, %t03
  %p10 = call i128 @__sbf_mul128(i128 %a1, i128 %b0)
  %w10 = zext i128 %p10 to i256
  %t10 = shl i256 %w10, 64
  %s10 = add i256 %s03, %t10
  %p11 = call i128 @__sbf_mul128(i128 %a1, i128 %b1)
  %w11 = zext i128 %p11 to i256
  %t11 = shl i256 %w11, 128
  %s11 = add i256 %s10, %t11
  %p12 = call i128 @__sbf_mul128(i128 %a1, i128 %b2)
  %w12 = zext i128 %p12 to i256
  %t12 = shl i256 %w12, 192
  %s12 = add i256 %s11, %t12
  %p20 = call i128 @__sbf_mul128(i128 %a2, i128 %b0)
  %w20 = zext i128 %p20 to i256
  %t20 = shl i256 %w20, 128
  %s20 = add i256 %s12, %t20
  %p21 = call i128 @__sbf_mul128(i128 %a2, i128 %b1)
  %w21 = zext i128 %p21 to i256
  %t21 = shl i256 %w21, 192
  %s21 = add i256 %s20, %t21
  %p30 = call i128 @__sbf_mul128(i128 %a3, i128 %b0)
  %w30 = zext i128 %p30 to i256
  %t30 = shl i256 %w30, 192
  %s30 = add i256 %s21, %t30
  ret i256 %s30
}

; ---- division --------------------------------------------------------------------------------------------------------
; A division by zero is undefined in LLVM; Rust checks before it divides.

; The general case: main.cpp expands this into a loop over the bits of the quotient, some 2,000 compute units at most.
define i128 @__sbf_udiv128_long(i128 %a, i128 %b) #0 {
  %quotient = udiv i128 %a, %b
  ret i128 %quotient
}

; Two cases are most of what programs do: both operands are below 2^64 (one instruction), or the divisor is below 2^32
; (long division by 32-bit digits: a remainder below 2^32 and the next digit fit 64 bits).
define i128 @__sbf_udiv128(i128 %a, i128 %b) #0 {
  %b.low = trunc i128 %b to i64
  %b.shifted = lshr i128 %b, 64
  %b.high = trunc i128 %b.shifted to i64
  %b.big = icmp ne i64 %b.high, 0
  br i1 %b.big, label %long, label %one.word

one.word:
  %a.low = trunc i128 %a to i64
  %a.shifted = lshr i128 %a, 64
  %a.high = trunc i128 %a.shifted to i64
  %a.big = icmp ne i64 %a.high, 0
  br i1 %a.big, label %two.by.one, label %one.by.one

one.by.one:
  %q = udiv i64 %a.low, %b.low
  %q.wide = zext i64 %q to i128
  ret i128 %q.wide

two.by.one:
  %b.top = lshr i64 %b.low, 32
  %b.wide = icmp ne i64 %b.top, 0
  br i1 %b.wide, label %long, label %digits

digits:
  %a2 = and i64 %a.high, 4294967295
  %a3 = lshr i64 %a.high, 32
  %a0 = and i64 %a.low, 4294967295
  %a1 = lshr i64 %a.low, 32
  %q3 = udiv i64 %a3, %b.low
  %r3 = urem i64 %a3, %b.low
  %r3.up = shl i64 %r3, 32
  %n2 = or i64 %r3.up, %a2
  %q2 = udiv i64 %n2, %b.low
  %r2 = urem i64 %n2, %b.low
  %r2.up = shl i64 %r2, 32
  %n1 = or i64 %r2.up, %a1
  %q1 = udiv i64 %n1, %b.low
  %r1 = urem i64 %n1, %b.low
  %r1.up = shl i64 %r1, 32
  %n0 = or i64 %r1.up, %a0
  %q0 = udiv i64 %n0, %b.low
  %q3.up = shl i64 %q3, 32
  %q.high = or i64 %q3.up, %q2
  %q1.up = shl i64 %q1, 32
  %q.low = or i64 %q1.up, %q0
  %q.high.wide = zext i64 %q.high to i128
  %q.high.up = shl i128 %q.high.wide, 64
  %q.low.wide = zext i64 %q.low to i128
  %q.digits = or i128 %q.high.up, %q.low.wide
  ret i128 %q.digits

long:
  %q.long = call i128 @__sbf_udiv128_long(i128 %a, i128 %b)
  ret i128 %q.long
}

define i128 @__sbf_urem128(i128 %a, i128 %b) #0 {
  %quotient = call i128 @__sbf_udiv128(i128 %a, i128 %b)
  %multiple = mul i128 %quotient, %b
  %remainder = sub i128 %a, %multiple
  ret i128 %remainder
}

; The magnitudes are divided; the quotient is negative if the signs differ, the remainder has the sign of the dividend.
define i64 @__sbf_sdiv64(i64 %a, i64 %b) #0 {
  %a.negated = sub i64 0, %a
  %a.negative = icmp slt i64 %a, 0
  %a.size = select i1 %a.negative, i64 %a.negated, i64 %a
  %b.negated = sub i64 0, %b
  %b.negative = icmp slt i64 %b, 0
  %b.size = select i1 %b.negative, i64 %b.negated, i64 %b
  %magnitude = udiv i64 %a.size, %b.size
  %negated = sub i64 0, %magnitude
  %negative = xor i1 %a.negative, %b.negative
  %quotient = select i1 %negative, i64 %negated, i64 %magnitude
  ret i64 %quotient
}

define i64 @__sbf_srem64(i64 %a, i64 %b) #0 {
  %quotient = call i64 @__sbf_sdiv64(i64 %a, i64 %b)
  %multiple = mul i64 %quotient, %b
  %remainder = sub i64 %a, %multiple
  ret i64 %remainder
}

; The magnitudes are divided; the quotient is negative if the signs differ, the remainder has the sign of the dividend.
define i128 @__sbf_sdiv128(i128 %a, i128 %b) #0 {
  %a.negated = sub i128 0, %a
  %a.negative = icmp slt i128 %a, 0
  %a.size = select i1 %a.negative, i128 %a.negated, i128 %a
  %b.negated = sub i128 0, %b
  %b.negative = icmp slt i128 %b, 0
  %b.size = select i1 %b.negative, i128 %b.negated, i128 %b
  %magnitude = call i128 @__sbf_udiv128(i128 %a.size, i128 %b.size)
  %negated = sub i128 0, %magnitude
  %negative = xor i1 %a.negative, %b.negative
  %quotient = select i1 %negative, i128 %negated, i128 %magnitude
  ret i128 %quotient
}

define i128 @__sbf_srem128(i128 %a, i128 %b) #0 {
  %quotient = call i128 @__sbf_sdiv128(i128 %a, i128 %b)
  %multiple = mul i128 %quotient, %b
  %remainder = sub i128 %a, %multiple
  ret i128 %remainder
}

attributes #0 = { noinline nounwind nobuiltin "no-builtins" }
