################################################################################
#
# director
#
################################################################################

DIRECTOR_VERSION = 0.1.0
DIRECTOR_SITE = $(realpath $(BR2_EXTERNAL_DIRECTOR_PATH)/..)
DIRECTOR_SITE_METHOD = local
DIRECTOR_LICENSE = MIT or Apache-2.0
DIRECTOR_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
DIRECTOR_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude /build --exclude /.git
HOST_DIRECTOR_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = $(DIRECTOR_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)

# A local site is not vendored by Buildroot, and cargo runs offline: "make buildroot" fills this folder.
DIRECTOR_VENDOR = $(DIRECTOR_SITE)/build/vendor
DIRECTOR_VENDORED = \
	--config 'source.crates-io.replace-with="vendored"' \
	--config 'source.vendored.directory="$(DIRECTOR_VENDOR)"'

# Buildroot's environment overrides the release profile of Cargo.toml, so it is restated here. A test compares the two.
DIRECTOR_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL="z" \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1" \
	CARGO_PROFILE_RELEASE_PANIC="abort" \
	CARGO_PROFILE_RELEASE_STRIP="symbols" \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="--remap-path-prefix=$(@D)=director --remap-path-prefix=$(DIRECTOR_VENDOR)=cargo -C llvm-args=-enable-machine-outliner=always"
DIRECTOR_CARGO_BUILD_OPTS = --package director $(DIRECTOR_VENDORED)

define DIRECTOR_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/$(RUSTC_TARGET_NAME)/release/director \
		$(TARGET_DIR)/init
endef

# The tool that packs the initramfs and assembles the disk: the same as of the quick build.
HOST_DIRECTOR_CARGO_BUILD_OPTS = --package director-image $(DIRECTOR_VENDORED)

define HOST_DIRECTOR_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/release/director-image \
		$(HOST_DIR)/bin/director-image
endef

DIRECTOR_DEPENDENCIES = host-director

$(eval $(cargo-package))
$(eval $(host-cargo-package))
