# Read by cpack for each kind of package.

# The project's own line would stand before each package's.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")

# Distributions with RPM have no initramfs-tools.
if(CPACK_GENERATOR STREQUAL "RPM")
  list(REMOVE_ITEM CPACK_COMPONENTS_ALL initramfs_tools)
endif()
