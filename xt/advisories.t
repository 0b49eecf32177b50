#!/usr/bin/perl

# No published advisory applies to the CPAN modules that the gateway loads, at their
# installed versions. The advisories are those that the installed cpan-audit brings.

use strict;
use warnings;
use blib;
use Module::CoreList ();
use Test::More;
use lib 'xt/lib';
use Author qw(run);

plan skip_all => 'cpan-audit is not installed'
    if !eval { require CPAN::Audit::DB; require CPAN::Audit::Version; 1 };

# The modules from outside the core distribution, with their versions.
my $code =
      q{use Cpanel::LogMeIn::Server; use Plack::App::LogMeIn; use Plack::Middleware::LogMeIn;}
    . q{ require IO::Socket::SSL; require Plack; require Net::Server;}
    . q{ for ( sort keys %INC ) { s/[.]pm\z// or next; s{/}{::}g; print $_, q{ }, $_->VERSION // 0, qq{\n} }};
my ( $status, $out ) = run( '.', "$^X -Iblib/lib -Iblib/arch -e '$code'" );
is( $status, 0, 'the gateway loads' ) or diag($out);
my %version = map { split / /, $_, 2 } split /\n/, $out;
delete @version{ grep { /\A(?:Cpanel|Plack::(?:App|Middleware)::LogMeIn)/ } keys %version };
my @foreign = grep { !Module::CoreList::is_core( $_, undef, $] ) } sort keys %version;
ok( $version{$_}, "$_ is one of the modules, " . ( $version{$_} // 'no' ) )
    for
    qw(AnyEvent HTML::Template HTTP::Parser::XS IO::Socket::SSL Net::Server Net::SSLeay Plack URI::Escape);

# The advisories for a module of this version: their names. The version of a
# distribution is that of its main module, if that is loaded.
my $data    = CPAN::Audit::DB->db;
my $compare = CPAN::Audit::Version->new;

sub advisories {
    my ( $module, $version ) = @_;
    my $name = $data->{module2dist}{$module} // return;
    return map { $_->{id} }
        grep   { $compare->in_range( $version, $_->{affected_versions} ) }
        @{ $data->{dists}{$name}{advisories} };
}
my %open;
for my $module (@foreign) {
    my $main    = ( $data->{module2dist}{$module} // q{} ) =~ s/-/::/gr;
    my $version = $version{$main} || $version{$module} || next;
    my @found   = advisories( $module, $version );
    $open{"$module $version"} = \@found if @found;
}
is_deeply( \%open, {}, 'no advisory applies to any of ' . @foreign . ' modules' );
my $date = join q{-}, ( CPAN::Audit::DB->VERSION // q{} ) =~ /\A([0-9]{4})([0-9]{2})([0-9]{2})/;
like( $date, qr/\A20/, "the advisories have a date, $date" );
note(
    sprintf '40: %d modules of the gateway, %d with an open advisory',
    scalar @foreign,
    scalar keys %open
);
ok( advisories( 'Plack', '0.99' ), 'control: an old Plack has one' );
done_testing();
