// Wide and signed integer arithmetic.
//
// BPF has 64-bit registers with unsigned division (see machineDivision), and no instruction for the high half of a product. The back end
// itself splits additions, comparisons, logic and shifts by a constant of wide integers; everything below it would turn
// into calls of a run-time library that does not exist there.
#include "codegen.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace sbf {

static Value *extend(IRBuilder<> &builder, Value *value, unsigned bits, bool isSigned) {
  Type *type = builder.getIntNTy(bits);
  return isSigned ? builder.CreateSExt(value, type) : builder.CreateZExt(value, type);
}

static Rewrite tooWide(Instruction &instruction) {
  error(Twine(instruction.getOpcodeName()) + " of an integer wider than 128 bits in " + instruction.getFunction()->getName());
  return Rewrite::none();
}

// A shift of 128 bits by a variable amount, in 64-bit halves. Within one word a shift by 64 is undefined, so the bits that
// cross from one half to the other are masked out when the amount is a multiple of 64.
static Value *shift128(IRBuilder<> &builder, unsigned opcode, Value *value, Value *amount) {
  Type *i64 = builder.getInt64Ty(), *i128 = builder.getInt128Ty();
  Value *zero = builder.getInt64(0);
  Value *low = builder.CreateTrunc(value, i64);
  Value *high = builder.CreateTrunc(builder.CreateLShr(value, 64), i64);
  Value *bits = builder.CreateAnd(builder.CreateTrunc(amount, i64), builder.getInt64(127));
  Value *within = builder.CreateAnd(bits, builder.getInt64(63));
  Value *crosses = builder.CreateICmpUGE(bits, builder.getInt64(64));
  Value *aligned = builder.CreateICmpEQ(within, zero);
  Value *rest = builder.CreateAnd(builder.CreateSub(builder.getInt64(64), within), builder.getInt64(63));

  Value *newLow, *newHigh;
  if (opcode == Instruction::Shl) {
    Value *shifted = builder.CreateShl(low, within);
    Value *carried = builder.CreateSelect(aligned, zero, builder.CreateLShr(low, rest));
    newLow = builder.CreateSelect(crosses, zero, shifted);
    newHigh = builder.CreateSelect(crosses, shifted, builder.CreateOr(builder.CreateShl(high, within), carried));
  } else {
    bool arithmetic = opcode == Instruction::AShr;
    Value *shifted = arithmetic ? builder.CreateAShr(high, within) : builder.CreateLShr(high, within);
    Value *carried = builder.CreateSelect(aligned, zero, builder.CreateShl(high, rest));
    Value *fill = arithmetic ? builder.CreateAShr(high, 63) : zero;
    newLow = builder.CreateSelect(crosses, shifted, builder.CreateOr(builder.CreateLShr(low, within), carried));
    newHigh = builder.CreateSelect(crosses, fill, shifted);
  }
  return builder.CreateOr(builder.CreateShl(builder.CreateZExt(newHigh, i128), 64), builder.CreateZExt(newLow, i128));
}

// ---- division, multiplication, shifts --------------------------------------------------------------------------------

// The machine's own division, as assembly that has side effects.
//
// In the Linux kernel a division by zero gives zero, so the back end thinks that division can do no harm: when two branches
// divide the same, its passes (MachineCSE) divide once, before the branches and before the test for zero that guards them.
// In the Solana machine that is an error that ends the program. A constant divisor is never zero.
static Rewrite machineDivision(BinaryOperator &operation) {
  if (isa<ConstantInt>(operation.getOperand(1)))
    return Rewrite::none();
  IRBuilder<> builder(&operation);
  Type *i64 = builder.getInt64Ty();
  const char *code = operation.getOpcode() == Instruction::UDiv ? "$0 /= $2" : "$0 %= $2";
  InlineAsm *assembly = InlineAsm::get(FunctionType::get(i64, {i64, i64}, false), code, "=r,0,r", /*hasSideEffects=*/true);
  Value *result = builder.CreateCall(assembly, {extend(builder, operation.getOperand(0), 64, false),
                                                extend(builder, operation.getOperand(1), 64, false)});
  return Rewrite::by(builder.CreateTrunc(result, operation.getType()));
}

static Rewrite division(BinaryOperator &operation, unsigned width) {
  bool isSigned = operation.getOpcode() == Instruction::SDiv || operation.getOpcode() == Instruction::SRem;
  if (width <= 64 && !isSigned)
    return machineDivision(operation);
  if (operation.getFunction()->getName() == "__sbf_udiv128_long") // where the 128-bit one is defined
    return Rewrite::none();
  if (width > 128)
    return tooWide(operation);
  unsigned bits = width <= 64 ? 64 : 128;
  const char *name;
  switch (operation.getOpcode()) {
  case Instruction::UDiv: name = "__sbf_udiv128"; break;
  case Instruction::URem: name = "__sbf_urem128"; break;
  case Instruction::SDiv: name = bits == 64 ? "__sbf_sdiv64" : "__sbf_sdiv128"; break;
  default: name = bits == 64 ? "__sbf_srem64" : "__sbf_srem128"; break;
  }
  IRBuilder<> builder(&operation);
  Value *result = callBuiltin(builder, name, {extend(builder, operation.getOperand(0), bits, isSigned),
                                              extend(builder, operation.getOperand(1), bits, isSigned)});
  return Rewrite::by(builder.CreateTrunc(result, operation.getType()));
}

static Rewrite multiplication(BinaryOperator &operation, unsigned width) {
  if (width <= 64)
    return Rewrite::none();
  // The optimiser makes 256-bit products out of 128-bit ones whose high half is looked at.
  if (width > 256)
    return tooWide(operation);
  unsigned bits = width <= 128 ? 128 : 256;
  IRBuilder<> builder(&operation);
  // The low bits of a product do not depend on how the operands were extended.
  Value *product = callBuiltin(builder, bits == 128 ? "__sbf_mul128" : "__sbf_mul256",
                               {extend(builder, operation.getOperand(0), bits, false),
                                extend(builder, operation.getOperand(1), bits, false)});
  return Rewrite::by(builder.CreateTrunc(product, operation.getType()));
}

static Rewrite shift(BinaryOperator &operation, unsigned width) {
  if (width <= 64 || isa<ConstantInt>(operation.getOperand(1)))
    return Rewrite::none();
  if (width > 128)
    return tooWide(operation);
  IRBuilder<> builder(&operation);
  Value *value = extend(builder, operation.getOperand(0), 128, operation.getOpcode() == Instruction::AShr);
  Value *shifted = shift128(builder, operation.getOpcode(), value, operation.getOperand(1));
  return Rewrite::by(builder.CreateTrunc(shifted, operation.getType()));
}

// Funnel shifts, which rotations are: the high (fshl) or low (fshr) half of two integers shifted together.
static Rewrite funnelShift(IntrinsicInst &call) {
  auto *type = dyn_cast<IntegerType>(call.getType());
  if (!type || type->getBitWidth() <= 64)
    return Rewrite::none();
  unsigned width = type->getBitWidth();
  if (width != 128)
    return tooWide(call);
  bool left = call.getIntrinsicID() == Intrinsic::fshl;
  IRBuilder<> builder(&call);
  Value *high = call.getArgOperand(0), *low = call.getArgOperand(1);
  Value *amount = builder.CreateAnd(call.getArgOperand(2), ConstantInt::get(type, width - 1));
  Value *rest = builder.CreateSub(ConstantInt::get(type, width), amount);
  Value *none = builder.CreateICmpEQ(amount, ConstantInt::get(type, 0));
  Value *fromHigh = shift128(builder, Instruction::Shl, high, left ? amount : rest);
  Value *fromLow = shift128(builder, Instruction::LShr, low, left ? rest : amount);
  return Rewrite::by(builder.CreateSelect(none, left ? high : low, builder.CreateOr(fromHigh, fromLow)));
}

// ---- multiplication that tells of overflow ---------------------------------------------------------------------------

// A product of magnitudes, and whether it did not fit: it fitted if dividing gives the other factor back.
static std::pair<Value *, Value *> productOfMagnitudes(IRBuilder<> &builder, Value *x, Value *y, unsigned width) {
  auto *type = cast<IntegerType>(x->getType());
  Value *zero = ConstantInt::get(type, 0);
  auto wide = [&](const char *name, Value *a, Value *b) {
    return builder.CreateTrunc(callBuiltin(builder, name, {extend(builder, a, 128, false), extend(builder, b, 128, false)}), type);
  };
  Value *product = width <= 64 ? builder.CreateMul(x, y) : wide("__sbf_mul128", x, y);
  Value *isZero = builder.CreateICmpEQ(x, zero);
  Value *divisor = builder.CreateSelect(isZero, ConstantInt::get(type, 1), x);
  Value *quotient = width <= 64 ? builder.CreateUDiv(product, divisor) : wide("__sbf_udiv128", product, divisor);
  Value *overflow = builder.CreateAnd(builder.CreateNot(isZero), builder.CreateICmpNE(quotient, y));
  return {product, overflow};
}

static Rewrite multiplicationWithOverflow(IntrinsicInst &call) {
  bool isSigned = call.getIntrinsicID() == Intrinsic::smul_with_overflow;
  Value *x = call.getArgOperand(0), *y = call.getArgOperand(1);
  auto *type = cast<IntegerType>(x->getType());
  unsigned width = type->getBitWidth();
  if (width > 128)
    return tooWide(call);
  IRBuilder<> builder(&call);
  Value *product, *overflow;
  if (width <= 32) {
    // The whole product fits a register.
    Value *whole = builder.CreateMul(extend(builder, x, 64, isSigned), extend(builder, y, 64, isSigned));
    product = builder.CreateTrunc(whole, type);
    overflow = builder.CreateICmpNE(extend(builder, product, 64, isSigned), whole);
  } else if (!isSigned) {
    std::tie(product, overflow) = productOfMagnitudes(builder, x, y, width);
  } else {
    // The smallest number is its own negation, and read as unsigned that is its magnitude.
    Value *zero = ConstantInt::get(type, 0);
    auto magnitude = [&](Value *value, Value *negative) { return builder.CreateSelect(negative, builder.CreateNeg(value), value); };
    Value *xNegative = builder.CreateICmpSLT(x, zero), *yNegative = builder.CreateICmpSLT(y, zero);
    Value *size;
    std::tie(size, overflow) = productOfMagnitudes(builder, magnitude(x, xNegative), magnitude(y, yNegative), width);
    Value *negative = builder.CreateXor(xNegative, yNegative);
    product = builder.CreateSelect(negative, builder.CreateNeg(size), size);
    // The magnitude fitted without a sign; the sign came out wrong if it does not fit with one.
    Value *wrongSign = builder.CreateAnd(builder.CreateICmpNE(size, zero),
                                         builder.CreateXor(builder.CreateICmpSLT(product, zero), negative));
    overflow = builder.CreateOr(overflow, wrongSign);
  }
  Value *pair = builder.CreateInsertValue(PoisonValue::get(call.getType()), product, 0);
  return Rewrite::by(builder.CreateInsertValue(pair, overflow, 1));
}

// ----------------------------------------------------------------------------------------------------------------------

Rewrite legaliseInteger(Instruction &instruction) {
  if (auto *operation = dyn_cast<BinaryOperator>(&instruction)) {
    auto *type = dyn_cast<IntegerType>(operation->getType());
    if (!type)
      return Rewrite::none();
    switch (operation->getOpcode()) {
    case Instruction::UDiv:
    case Instruction::URem:
    case Instruction::SDiv:
    case Instruction::SRem: return division(*operation, type->getBitWidth());
    case Instruction::Mul: return multiplication(*operation, type->getBitWidth());
    case Instruction::Shl:
    case Instruction::LShr:
    case Instruction::AShr: return shift(*operation, type->getBitWidth());
    default: return Rewrite::none();
    }
  }
  if (auto *call = dyn_cast<IntrinsicInst>(&instruction)) {
    switch (call->getIntrinsicID()) {
    case Intrinsic::umul_with_overflow:
    case Intrinsic::smul_with_overflow: return multiplicationWithOverflow(*call);
    case Intrinsic::fshl:
    case Intrinsic::fshr: return funnelShift(*call);
    default: return Rewrite::none();
    }
  }
  return Rewrite::none();
}

} // namespace sbf
