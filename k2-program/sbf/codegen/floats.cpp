// 64-bit floating point becomes calls into compiler_builtins (soft-float), as on any machine without a floating point unit.
//
// The program's own code has no use for it; Solana's crates do (Rent::exemption_threshold is an f64). f32 and f128 are
// refused: nothing has needed them, and code that nothing exercises should not be there.
#include "codegen.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace sbf {

static Rewrite refuse(Instruction &instruction, const char *what) {
  error(Twine(what) + " in " + instruction.getFunction()->getName() + "; only basic f64 operations are supported");
  return Rewrite::none();
}

static Rewrite arithmetic(BinaryOperator &operation) {
  if (!operation.getType()->isFloatingPointTy())
    return Rewrite::none();
  const char *name = nullptr;
  switch (operation.getOpcode()) {
  case Instruction::FAdd: name = "__adddf3"; break;
  case Instruction::FSub: name = "__subdf3"; break;
  case Instruction::FMul: name = "__muldf3"; break;
  case Instruction::FDiv: name = "__divdf3"; break;
  default: break;
  }
  if (!name || !operation.getType()->isDoubleTy())
    return refuse(operation, operation.getOpcodeName());
  IRBuilder<> builder(&operation);
  return Rewrite::by(callBuiltin(builder, name, {operation.getOperand(0), operation.getOperand(1)}));
}

// Each comparison function answers with an integer whose sign carries the result, and in a way that the comparison it is
// named after is false when an operand is not a number. So "unordered or less" is the negation of "greater or equal".
static Rewrite comparison(FCmpInst &compare) {
  if (!compare.getOperand(0)->getType()->isDoubleTy())
    return refuse(compare, "comparison");
  IRBuilder<> builder(&compare);
  auto test = [&](const char *name, CmpInst::Predicate predicate) {
    Value *sign = callBuiltin(builder, name, {compare.getOperand(0), compare.getOperand(1)});
    return builder.CreateICmp(predicate, sign, ConstantInt::get(sign->getType(), 0));
  };
  switch (compare.getPredicate()) {
  case CmpInst::FCMP_FALSE: return Rewrite::by(builder.getFalse());
  case CmpInst::FCMP_TRUE: return Rewrite::by(builder.getTrue());
  case CmpInst::FCMP_OEQ: return Rewrite::by(test("__eqdf2", CmpInst::ICMP_EQ));
  case CmpInst::FCMP_UNE: return Rewrite::by(test("__eqdf2", CmpInst::ICMP_NE));
  case CmpInst::FCMP_OGT: return Rewrite::by(test("__gtdf2", CmpInst::ICMP_SGT));
  case CmpInst::FCMP_ULE: return Rewrite::by(test("__gtdf2", CmpInst::ICMP_SLE));
  case CmpInst::FCMP_OGE: return Rewrite::by(test("__gedf2", CmpInst::ICMP_SGE));
  case CmpInst::FCMP_ULT: return Rewrite::by(test("__gedf2", CmpInst::ICMP_SLT));
  case CmpInst::FCMP_OLT: return Rewrite::by(test("__ltdf2", CmpInst::ICMP_SLT));
  case CmpInst::FCMP_UGE: return Rewrite::by(test("__ltdf2", CmpInst::ICMP_SGE));
  case CmpInst::FCMP_OLE: return Rewrite::by(test("__ledf2", CmpInst::ICMP_SLE));
  case CmpInst::FCMP_UGT: return Rewrite::by(test("__ledf2", CmpInst::ICMP_SGT));
  case CmpInst::FCMP_UNO: return Rewrite::by(test("__unorddf2", CmpInst::ICMP_NE));
  case CmpInst::FCMP_ORD: return Rewrite::by(test("__unorddf2", CmpInst::ICMP_EQ));
  case CmpInst::FCMP_UEQ:
    return Rewrite::by(builder.CreateOr(test("__unorddf2", CmpInst::ICMP_NE), test("__eqdf2", CmpInst::ICMP_EQ)));
  case CmpInst::FCMP_ONE:
    return Rewrite::by(builder.CreateAnd(test("__unorddf2", CmpInst::ICMP_EQ), test("__eqdf2", CmpInst::ICMP_NE)));
  default: return refuse(compare, "comparison");
  }
}

static Rewrite conversion(CastInst &cast) {
  IRBuilder<> builder(&cast);
  Value *operand = cast.getOperand(0);
  switch (cast.getOpcode()) {
  case Instruction::FPToUI:
  case Instruction::FPToSI: {
    if (!operand->getType()->isDoubleTy() || cast.getType()->getIntegerBitWidth() > 64)
      return refuse(cast, cast.getOpcodeName());
    const char *name = cast.getOpcode() == Instruction::FPToUI ? "__fixunsdfdi" : "__fixdfdi";
    return Rewrite::by(builder.CreateTrunc(callBuiltin(builder, name, {operand}), cast.getType()));
  }
  case Instruction::UIToFP:
  case Instruction::SIToFP: {
    if (!cast.getType()->isDoubleTy() || operand->getType()->getIntegerBitWidth() > 64)
      return refuse(cast, cast.getOpcodeName());
    Type *i64 = builder.getInt64Ty();
    return Rewrite::by(cast.getOpcode() == Instruction::UIToFP
                           ? callBuiltin(builder, "__floatundidf", {builder.CreateZExt(operand, i64)})
                           : callBuiltin(builder, "__floatdidf", {builder.CreateSExt(operand, i64)}));
  }
  case Instruction::FPExt:
  case Instruction::FPTrunc: return refuse(cast, cast.getOpcodeName());
  default: return Rewrite::none();
  }
}

// Negation and absolute value only touch the sign bit.
static Rewrite signChange(Instruction &instruction) {
  if (!instruction.getType()->isDoubleTy())
    return refuse(instruction, "change of sign");
  IRBuilder<> builder(&instruction);
  constexpr uint64_t SignBit = uint64_t(1) << 63;
  Value *bits = builder.CreateBitCast(instruction.getOperand(0), builder.getInt64Ty());
  bits = instruction.getOpcode() == Instruction::FNeg ? builder.CreateXor(bits, builder.getInt64(SignBit))
                                                      : builder.CreateAnd(bits, builder.getInt64(~SignBit));
  return Rewrite::by(builder.CreateBitCast(bits, builder.getDoubleTy()));
}

static Rewrite intrinsic(IntrinsicInst &call) {
  Intrinsic::ID id = call.getIntrinsicID();
  if (id == Intrinsic::fptoui_sat || id == Intrinsic::fptosi_sat) {
    // Rust's `as` saturates and turns not-a-number into 0, and so do Rust's own __fix functions.
    if (!call.getArgOperand(0)->getType()->isDoubleTy() || call.getType()->getIntegerBitWidth() != 64)
      return refuse(call, "saturating conversion");
    IRBuilder<> builder(&call);
    const char *name = id == Intrinsic::fptoui_sat ? "__fixunsdfdi" : "__fixdfdi";
    return Rewrite::by(callBuiltin(builder, name, {call.getArgOperand(0)}));
  }
  if (id == Intrinsic::fabs)
    return signChange(call);
  if (call.getType()->isFloatingPointTy())
    return refuse(call, "intrinsic");
  return Rewrite::none();
}

Rewrite legaliseFloat(Instruction &instruction) {
  if (auto *operation = dyn_cast<BinaryOperator>(&instruction))
    return arithmetic(*operation);
  if (auto *compare = dyn_cast<FCmpInst>(&instruction))
    return comparison(*compare);
  if (auto *cast = dyn_cast<CastInst>(&instruction))
    return conversion(*cast);
  if (instruction.getOpcode() == Instruction::FNeg)
    return signChange(instruction);
  if (auto *call = dyn_cast<IntrinsicInst>(&instruction))
    return intrinsic(*call);
  return Rewrite::none();
}

} // namespace sbf
