// Bitcode files and archives become one module.
#include "codegen.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Object/Archive.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace sbf {

// compiler_builtins brings these too, as loops over bytes; ours in builtins.ll are syscalls.
static constexpr const char *MemoryFunctions[] = {"memcpy", "memmove", "memset", "memcmp", "bcmp"};

// The bitcode in `buffer`, or null after an error was printed.
static std::unique_ptr<Module> parse(MemoryBufferRef buffer, LLVMContext &context) {
  Expected<std::unique_ptr<Module>> module = parseBitcodeFile(buffer, context);
  if (!module) {
    error(toString(module.takeError()) + " in " + buffer.getBufferIdentifier());
    return nullptr;
  }
  for (const char *name : MemoryFunctions)
    if (Function *function = (*module)->getFunction(name))
      function->deleteBody();
  return std::move(*module);
}

static void linkBitcode(Linker &linker, Module &program, MemoryBufferRef buffer, unsigned flags) {
  std::unique_ptr<Module> module = parse(buffer, program.getContext());
  if (!module)
    return;
  if (program.getTargetTriple().str().empty()) {
    program.setTargetTriple(module->getTargetTriple());
    program.setDataLayout(module->getDataLayout());
  }
  if (linker.linkInModule(std::move(module), flags))
    error("cannot link " + buffer.getBufferIdentifier());
}

static void linkArchive(Linker &linker, Module &program, const MemoryBuffer &file) {
  Expected<std::unique_ptr<object::Archive>> archive = object::Archive::create(file);
  if (!archive) {
    error(toString(archive.takeError()) + " in " + file.getBufferIdentifier());
    return;
  }
  // Of compiler_builtins only what is called: much of it (f128, i256) could not be compiled for this machine.
  bool onlyNeeded = file.getBufferIdentifier().contains("compiler_builtins");
  Error failure = Error::success();
  for (const object::Archive::Child &member : (*archive)->children(failure)) {
    Expected<MemoryBufferRef> content = member.getMemoryBufferRef();
    if (!content) {
      error(toString(content.takeError()) + " in " + file.getBufferIdentifier());
      continue;
    }
    // The others are rustc's metadata.
    if (identify_magic(content->getBuffer()) == file_magic::bitcode)
      linkBitcode(linker, program, *content, onlyNeeded ? Linker::LinkOnlyNeeded : Linker::None);
  }
  if (failure)
    error(toString(std::move(failure)) + " in " + file.getBufferIdentifier());
}

std::unique_ptr<Module> linkInputs(ArrayRef<std::string> paths, const Module &builtins) {
  auto program = std::make_unique<Module>("sbf", builtins.getContext());
  Linker linker(*program);
  std::vector<std::unique_ptr<MemoryBuffer>> archives;
  for (const std::string &path : paths) {
    ErrorOr<std::unique_ptr<MemoryBuffer>> file = MemoryBuffer::getFile(path);
    if (!file) {
      error("cannot read " + path + ": " + file.getError().message());
      continue;
    }
    file_magic kind = identify_magic((*file)->getBuffer());
    if (kind == file_magic::bitcode)
      linkBitcode(linker, *program, **file, Linker::None);
    else if (kind == file_magic::archive)
      archives.push_back(std::move(*file));
    else
      error(path + " is neither bitcode nor an archive of it; was it compiled for this target?");
  }
  // A declaration is what makes the linker take a function out of compiler_builtins.
  for (const Function &function : builtins)
    if (function.isDeclaration() && function.getName().starts_with("__"))
      program->getOrInsertFunction(function.getName(), function.getFunctionType());
  // Objects first: what they need decides what the archives have to give.
  for (const std::unique_ptr<MemoryBuffer> &archive : archives)
    linkArchive(linker, *program, *archive);
  return program;
}

std::unique_ptr<Module> readBuiltins(StringRef path, LLVMContext &context) {
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> builtins = parseAssemblyFile(path, diagnostic, context);
  if (!builtins) {
    diagnostic.print("sbf-codegen", errs());
    error("cannot read the builtins");
  }
  return builtins;
}

void addBuiltins(Module &program, std::unique_ptr<Module> builtins) {
  builtins->setTargetTriple(program.getTargetTriple());
  builtins->setDataLayout(program.getDataLayout());
  if (Linker::linkModules(program, std::move(builtins)))
    error("cannot link the builtins");
}

} // namespace sbf
