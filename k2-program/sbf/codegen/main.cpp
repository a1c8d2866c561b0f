// sbf-codegen: the order of the work, and the object file. codegen.h says what this is.
#include "codegen.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/Transforms/IPO/Internalize.h"
#include "llvm/Transforms/Utils/IntegerDivision.h"

using namespace llvm;

namespace sbf {

static unsigned errorCount = 0;

void error(const Twine &message) {
  errs() << "sbf-codegen: error: " << message << "\n";
  ++errorCount;
}

bool failed() { return errorCount > 0; }

namespace {

// LLVM's own messages. A warning fails the build too: "stack limit exceeded" is one, and a program whose frame overlaps
// its caller's must not be deployed.
struct Diagnostics : DiagnosticHandler {
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    if (info.getSeverity() != DS_Error && info.getSeverity() != DS_Warning)
      return true;
    std::string message;
    raw_string_ostream stream(message);
    DiagnosticPrinterRawOStream printer(stream);
    info.print(printer);
    error(message);
    return true;
  }
};

struct Options {
  std::vector<std::string> inputs;
  std::string output, builtins, dump;
};

// What the loader calls. Everything else may be inlined and removed.
constexpr const char *EntryPoint = "entrypoint";
// A frame of the Solana machine, in bytes. The next frame begins right behind it.
constexpr const char *FrameSize = "-bpf-stack-size=4096";
// v2 has the conditional jumps that Solana's SBF v0 also has; v3 adds 32-bit jumps, which SBF v0 has not.
constexpr const char *Cpu = "v2", *Features = "+allows-misaligned-mem-access";

} // namespace

static bool parseArguments(int count, char **arguments, Options &options) {
  for (int i = 1; i < count; ++i) {
    StringRef argument = arguments[i];
    std::string *value = argument == "-o"            ? &options.output
                         : argument == "--builtins"  ? &options.builtins
                         : argument == "--dump"      ? &options.dump
                                                     : nullptr;
    if (!value)
      options.inputs.push_back(argument.str());
    else if (++i < count)
      *value = arguments[i];
  }
  if (!options.output.empty() && !options.builtins.empty() && !options.inputs.empty())
    return true;
  errs() << "usage: sbf-codegen --builtins builtins.ll -o OUT.o [--dump PREFIX] BITCODE_OR_ARCHIVE...\n"
            "  --dump PREFIX   writes PREFIX.optimised.ll and PREFIX.legal.ll\n";
  return false;
}

static std::unique_ptr<TargetMachine> targetMachine(const Triple &triple) {
  LLVMInitializeBPFTarget();
  LLVMInitializeBPFTargetInfo();
  LLVMInitializeBPFTargetMC();
  LLVMInitializeBPFAsmPrinter();
  LLVMInitializeBPFAsmParser();
  // PipelineTuningOptions alone does not keep these two from running.
  const char *llvmArguments[] = {"sbf-codegen", FrameSize, "-vectorize-slp=false", "-disable-vector-combine"};
  cl::ParseCommandLineOptions(std::size(llvmArguments), llvmArguments);
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target) {
    error(message);
    return nullptr;
  }
  return std::unique_ptr<TargetMachine>(target->createTargetMachine(triple, Cpu, Features, TargetOptions(), Reloc::Static,
                                                                    std::nullopt, CodeGenOptLevel::Aggressive));
}

static void runPasses(Module &program, TargetMachine &machine, StringRef pipeline) {
  PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false; // BPF has no vectors
  tuning.MergeFunctions = true; // every byte of a program is paid for at deployment
  PassBuilder builder(&machine, tuning);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager callGraph;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  ModulePassManager passes;
  if (Error failure = builder.parsePassPipeline(passes, pipeline)) {
    error(toString(std::move(failure)));
    return;
  }
  passes.run(program, modules);
}

// Keeps what `names` lists from being removed; everything else may be.
static void internalise(Module &program, const StringSet<> &names) {
  internalizeModule(program, [&](const GlobalValue &value) { return names.contains(value.getName()); });
}

static void dumpTo(const Options &options, StringRef stage, const Module &program) {
  if (options.dump.empty())
    return;
  std::error_code failure;
  raw_fd_ostream out((options.dump + "." + stage + ".ll").str(), failure);
  if (failure)
    error("cannot write the dump: " + failure.message());
  else
    program.print(out, nullptr);
}

// Turns the one 128-bit division there is into a loop; all the others call it.
static void expandLongDivision(Module &program) {
  Function *function = program.getFunction("__sbf_udiv128_long");
  for (Instruction &instruction : instructions(*function))
    if (instruction.getOpcode() == Instruction::UDiv) {
      expandDivision(cast<BinaryOperator>(&instruction));
      return;
    }
}

static void checkForSbf(const Module &program) {
  std::string message;
  raw_string_ostream stream(message);
  if (verifyModule(program, &stream))
    error("the legalised program is malformed: " + message);
  for (const GlobalVariable &global : program.globals())
    if (!global.isDeclaration() && !global.isConstant())
      error("writable global " + global.getName() + ": a program has no memory for it");
}

static void emitObject(Module &program, TargetMachine &machine, const std::string &path) {
  std::error_code failure;
  raw_fd_ostream out(path, failure, sys::fs::OF_None);
  if (failure) {
    error("cannot write " + path + ": " + failure.message());
    return;
  }
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, out, nullptr, CodeGenFileType::ObjectFile)) {
    error("the back end cannot emit an object file");
    return;
  }
  passes.run(program);
}

static void generate(const Options &options) {
  LLVMContext context;
  context.setDiagnosticHandler(std::make_unique<Diagnostics>());
  std::unique_ptr<Module> builtins = readBuiltins(options.builtins, context);
  if (failed())
    return;
  std::unique_ptr<Module> program = linkInputs(options.inputs, *builtins);
  if (failed())
    return;
  StripDebugInfo(*program);
  std::unique_ptr<TargetMachine> machine = targetMachine(program->getTargetTriple());
  if (failed())
    return;
  program->setDataLayout(machine->createDataLayout());
  routePanics(*program);

  // `#[used]` is for linker scripts. The attributes name the features that rustc knows, not those chosen above.
  for (const char *name : {"llvm.used", "llvm.compiler.used"})
    if (GlobalVariable *used = program->getNamedGlobal(name))
      used->eraseFromParent();
  for (Function &function : *program) {
    function.removeFnAttr("target-cpu");
    function.removeFnAttr("target-features");
  }

  StringSet<> kept;
  kept.insert(EntryPoint);
  for (const Function &function : *builtins)
    kept.insert(function.getName());
  internalise(*program, kept);
  runPasses(*program, *machine, "function(lower-atomic,lower-invoke),default<O2>,function(scalarizer),globaldce");
  if (failed())
    return;
  if (Function *abort = program->getFunction("abort"); abort && abort->isDeclaration())
    abort->setDoesNotReturn();
  dumpTo(options, "optimised", *program);

  // Only now: the optimiser would recognise what some of them do and make them call themselves.
  addBuiltins(*program, std::move(builtins));
  if (failed())
    return;
  expandLongDivision(*program);
  legaliseInstructions(*program);
  if (failed())
    return;
  legaliseCalls(*program);
  if (failed())
    return;
  StringSet<> exported;
  exported.insert(EntryPoint);
  internalise(*program, exported);
  runPasses(*program, *machine, "globaldce,function(sroa,simplifycfg,early-cse,dce),globaldce");
  checkForSbf(*program);
  dumpTo(options, "legal", *program);
  if (!failed())
    emitObject(*program, *machine, options.output);
}

} // namespace sbf

int main(int count, char **arguments) {
  sbf::Options options;
  if (!sbf::parseArguments(count, arguments, options))
    return 2;
  sbf::generate(options);
  return sbf::failed() ? 1 : 0;
}
