# @NAMESPACE@.so, the library that CMSSW's hls4mlEmulator::ModelLoader opens by the name @NAMESPACE@.
#   make                      the library, for arrays of plain integers
#   make INCLUDES="-I.../hls4mlEmulatorExtras/include/hls4ml -I.../hls/include"
#                             with the interface's own header, and for arrays of ap_fixed, too
#   make check                also the host: the golden vectors through the library, loaded by name
#   make install PREFIX=...   the library into PREFIX/lib64
# CXX, CXXFLAGS, INCLUDES and LD_FLAGS may be handed down by a Makefile of many versions. LD_FLAGS matter for the host,
# where it has the interface's own header: -L... -lemulator_interface, and a path at which it is found.
CPP_STANDARD := c++17
CXXFLAGS := -O3 -fPIC -std=$(CPP_STANDARD)
INCLUDES :=
LD_FLAGS :=
PREFIX := .

# Not in CXXFLAGS, so that whoever hands those down cannot lose them: two names are exported, none may be missing.
OWN_FLAGS := -fPIC -fvisibility=hidden -iquote ../emulator
LIBRARY := @NAMESPACE@.so
HOST := @NAMESPACE@_host
# As one word of the shell.
GIVEN := '$(subst ','\'',$(CXX) $(CXXFLAGS) $(INCLUDES) $(LD_FLAGS))'
HEADERS := $(wildcard *.h ../emulator/*.h)

.DEFAULT_GOAL := all
.PHONY: all check install clean FORCE

all: $(LIBRARY)

$(LIBRARY): @NAMESPACE@_model.cpp ../emulator/@NAMESPACE@.cpp $(HEADERS) .flags
	$(CXX) $(CXXFLAGS) $(OWN_FLAGS) $(INCLUDES) -shared -Wl,-z,defs $(filter %.cpp,$^) \
		-Wl,--as-needed $(LD_FLAGS) -o $@

$(HOST): @NAMESPACE@_host.cpp $(HEADERS) .flags
	$(CXX) $(CXXFLAGS) $(OWN_FLAGS) $(INCLUDES) $< $(LD_FLAGS) -ldl -o $@

check: $(LIBRARY) $(HOST)
	./$(HOST) ./@NAMESPACE@ ../vectors

install: all
	@mkdir -p $(PREFIX)/lib64
	cp $(LIBRARY) $(PREFIX)/lib64

# Other flags make another library: both are built anew.
.flags: FORCE
	@printf '%s\n' $(GIVEN) | cmp -s - $@ || printf '%s\n' $(GIVEN) > $@

clean:
	rm -f $(LIBRARY) $(HOST) .flags
